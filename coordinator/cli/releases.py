"""``release …`` and ``kb publish``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from disease_kb.seeding import open_or_build
from protocols.console import Console, command

Name = Annotated[str, typer.Argument(help="model or model@version")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Releases · 发布")
    app.add_typer(group, name="release")
    command(group, "list")(list_)
    for function in (propose, approve, rollout, pause, withdraw, show):
        command(group)(function)
    knowledge = typer.Typer(no_args_is_help=True, help="Knowledge base · 知识库")
    app.add_typer(knowledge, name="kb")
    command(knowledge, "publish")(publish)


def _print(console: Console, document: dict[str, Any]) -> None:
    console.line(
        f"{document['release']} ({document['disease']}): {document['state']}, {document['percent']} % · "
        f"approvals {len(document['approvals'])} of {document['approvals_needed']}",
        f"{document['release']}（{document['disease']}）：{document['state']}，{document['percent']}% · "
        f"批准 {len(document['approvals'])}/{document['approvals_needed']}",
    )
    for gate in document["gates"]:
        mark = "✓" if gate["ok"] else "✗"
        console.line(f"  {mark} {gate['name']}: {gate['detail']}", f"  {mark} {gate['name']}：{gate['detail']}")


async def propose(
    console: Console,
    model: Name,
    notes: Annotated[str, typer.Option(help="Release notes · 发布说明")] = "",
    allow_unmapped: Annotated[str | None, typer.Option(help="Why labels without an entry are released")] = None,
) -> None:
    """Put a model version up for approval."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.propose(model, notes, allow_unmapped, utc_now())
    console.answer(document, lambda: _print(console, document))


async def approve(
    console: Console,
    release: Name,
    key: Annotated[Path | None, typer.Option(help="Your approver's key")] = None,
) -> None:
    """Approve a proposed release with your own key."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.approve(release, key, utc_now())
    console.answer(document, lambda: _print(console, document))


async def rollout(
    console: Console,
    release: Name,
    percent: Annotated[int, typer.Option(min=100, max=100, help="100: all nodes")] = 100,
) -> None:
    """Offer an approved release to the nodes."""
    async with open_coordinator(console.home) as coordinator, await open_or_build(console.home) as knowledge:
        document = await coordinator.releases.rollout(release, percent, knowledge)
    console.answer(document, lambda: _print(console, document))


async def pause(console: Console, release: Name) -> None:
    """Stop offering a release; nodes that have it keep it."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.pause(release)
    console.answer(document, lambda: _print(console, document))


async def withdraw(console: Console, release: Name) -> None:
    """Take a release away for good."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.withdraw(release)
    console.answer(document, lambda: _print(console, document))


async def show(console: Console, release: Name) -> None:
    """One release with its gates and approvals."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.show(release)
    console.answer(document, lambda: _print(console, document))


async def list_(console: Console) -> None:
    """All releases."""
    async with open_coordinator(console.home) as coordinator:
        rows = await coordinator.releases.list()

    def human() -> None:
        for row in rows:
            _print(console, row)

    console.answer({"releases": rows}, human)


async def publish(console: Console) -> None:
    """Publish the knowledge base of this moment to the nodes."""
    async with open_coordinator(console.home) as coordinator, await open_or_build(console.home) as knowledge:
        document = await coordinator.releases.publish_knowledge(knowledge)
    console.answer(
        document,
        lambda: console.line(
            f"Knowledge base {document['kb_version']} published, {document['size']} bytes.",
            f"知识库 {document['kb_version']} 已发布，{document['size']} 字节。",
        ),
    )
