"""``node …``: enrolment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.cli.fleet import silence_text
from protocols.console import Console, command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Nodes · 节点")
    app.add_typer(group, name="node")
    command(group)(invite)
    command(group)(revoke)
    command(group, "list")(list_)


async def invite(
    console: Console,
    site: Annotated[str, typer.Option(help="Site that the node belongs to · 所属机构")] = "",
    groups: Annotated[str, typer.Option(help="Rollout groups, a,b · 分组")] = "",
    url: Annotated[str | None, typer.Option(help="Address for the node, if serve's own is not right")] = None,
    qr: Annotated[Path | None, typer.Option(help="Write a QR image here (.png or .svg)")] = None,
) -> None:
    """Make a one-time invite, valid for 24 hours."""
    chosen = tuple(g.strip() for g in groups.split(",") if g.strip())
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.enrolment.invite(site[:120], chosen, url, utc_now())
    if qr is not None:
        import segno

        segno.make(document["invite"], error="m").save(str(qr), scale=4)

    def human() -> None:
        console.line(document["invite"], document["invite"])
        console.say(
            f"On the node: medmesh-edge join INVITE. Valid once, until {document['expires']}.",
            f"在节点上运行：medmesh-edge join 邀请码。仅可使用一次，有效期至 {document['expires']}。",
        )

    console.answer(document, human)


async def list_(console: Console) -> None:
    """All enrolled nodes, with the program that each runs and whether it has gone quiet."""
    from coordinator.fleet.report import listed

    async with open_coordinator(console.home) as coordinator:
        rows = [listed(row) for row in await coordinator.fleet.overview(utc_now())]
    console.answer(
        {"nodes": rows},
        lambda: console.table(
            [
                console.t("node", "节点"),
                console.t("name", "名称"),
                console.t("site", "机构"),
                console.t("version", "版本"),
                console.t("last seen", "最近联系"),
                console.t("silence", "联系状况"),
            ],
            [
                [r["node"], r["name"], r["site"], r["version"] or "—", r["last_seen"] or "—", silence_text(console, r)]
                for r in rows
            ],
        ),
    )


async def revoke(console: Console, node: Annotated[str, typer.Argument(help="Id or name of the node")]) -> None:
    """Turn a node away for good, and tell the others."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.enrolment.revoke(node)
        await coordinator.releases.announce(utc_now())
    console.answer(
        document,
        lambda: console.line(f"{document['name']} is revoked.", f"{document['name']} 已吊销。"),
    )
