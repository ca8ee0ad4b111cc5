"""``accept`` and ``decline``: a clinician in charge decides about a release, whatever this site's images say."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app
from edge_node.cli.text import adding
from protocols.console import Console, command

_MOST_WORDS = 500
_Release = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="As in medmesh-edge models · 模型@版本")]


@command(app)
async def accept(console: Console, release: _Release) -> None:
    """Take a release that this site declined, or take that back; from now on it is in use · 采用被拒绝的发布."""
    from edge_node.errors import EdgeError

    _require_version(release)
    edge = Edge(console.home)
    async with edge.online() as online:
        snapshot = await online.feed.kept()
        try:
            with console.progress(f"Fetching {release}", f"正在下载 {release}", None) as advance:
                taken = await online.puller.accept(snapshot, release, adding(lambda done: advance(done, None)))
        except EdgeError as error:
            if error.code != "acceptance.unknown_release":
                raise
            snapshot = await online.feed.newest()
            with console.progress(f"Fetching {release}", f"正在下载 {release}", None) as advance:
                taken = await online.puller.accept(snapshot, release, adding(lambda done: advance(done, None)))
    document = {"disease": taken.disease, "release": taken.name, "active": True, "by_hand": True}
    console.answer(
        document,
        lambda: console.line(f"{taken.name} is in use for {taken.disease}.", f"{taken.disease} 现使用 {taken.name}。"),
    )


@command(app)
async def decline(
    console: Console,
    release: _Release,
    reason: Annotated[str, typer.Option(help="For the record of this site; it stays here · 原因，仅保存在本机")],
) -> None:
    """Keep a release out of use; where it is in use, the one before takes its place · 拒绝发布."""
    _require_version(release)
    words = reason.strip()
    if not words or len(words) > _MOST_WORDS or not words.isprintable():
        raise typer.BadParameter(f"--reason takes 1 to {_MOST_WORDS} printable characters")
    edge = Edge(console.home)
    async with edge.online() as online:
        refused = await online.puller.decline(await online.feed.kept(), release, words)
        key = (refused.disease, refused.model)
        active = [r.name for r in await online.local.store.installed() if r.active and (r.disease, r.model) == key]
    document: dict[str, Any] = {
        "disease": refused.disease,
        "release": refused.name,
        "declined": True,
        "active_release": active[0] if active else None,
    }

    def human() -> None:
        console.line(
            f"{refused.name} is declined here; undo it with medmesh-edge accept {refused.name}.",
            f"本机构已拒绝 {refused.name}；可用 medmesh-edge accept {refused.name} 撤销。",
        )
        if active:
            console.line(f"{active[0]} is in use for {refused.disease}.", f"{refused.disease} 现使用 {active[0]}。")

    console.answer(document, human)


def _require_version(release: str) -> None:
    from protocols.manifest import parse_release_name

    if parse_release_name(release)[1] is None:
        raise typer.BadParameter("a release is MODEL@VERSION, such as malaria@3")
