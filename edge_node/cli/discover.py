"""``discover``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.discovery.trust import Found


def _role(console: Console, role: str) -> str:
    return {"coordinator": console.t("coordinator", "协调端"), "peer": console.t("node", "节点")}.get(role, role)


def _trust(console: Console, found: Found) -> str:
    if not found.trusted:
        return console.t("no", "否")
    if found.announcement.role == "peer":
        return console.t("yes: a node of the same coordinator", "是：同一协调端的节点")
    return console.t("yes: this node's coordinator", "是：本节点的协调端")


@command(app)
async def discover(
    console: Console,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long to listen · 监听秒数")] = 3.0,
    loopback: Annotated[bool, typer.Option("--loopback", help="This machine only · 仅本机")] = False,
) -> None:
    """List coordinators and peers on the local network, and which are trusted · 发现局域网内的协调端和节点."""
    from edge_node.discovery.trust import assess

    edge = Edge(console.home)
    heard = await edge.browser("loopback" if loopback else edge.config.interfaces).listen(seconds)
    fingerprint, probe = edge.probe()
    found = await assess(heard, fingerprint, probe)

    def human() -> None:
        if not found:
            console.line("Nothing was heard.", "没有发现任何服务。")
            return
        rows = [
            [
                _role(console, f.announcement.role),
                f"{f.announcement.host}:{f.announcement.port}",
                f.announcement.id,
                _trust(console, f),
            ]
            for f in found
        ]
        headings = [console.t("Role", "角色"), console.t("Address", "地址"), "ID", console.t("Trusted", "可信")]
        console.table(headings, rows)

    console.answer({"seconds": seconds, "found": [f.document() for f in found]}, human)
