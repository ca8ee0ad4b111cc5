"""``kb search`` and ``kb show``: the replica, without a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import group
from protocols.console import NOTICE, Console, command

commands = group("kb", "The disease knowledge base on this machine · 本机疾病知识库")


@command(commands)
async def search(
    console: Console,
    text: str,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most results · 最多条数")] = 20,
) -> None:
    """Search names, codes and texts in Chinese or English · 搜索名称、编码和正文."""
    from disease_kb import printing

    async with await Edge(console.home).replica().open() as knowledge:
        hits = await knowledge.search(text, limit)
        version = await knowledge.version()
    document = {
        "query": text,
        "kb_version": version,
        "results": [hit.document() for hit in hits],
        "notice": NOTICE["en"],
    }

    def human() -> None:
        printing.hits(console, hits)
        console.line(NOTICE["en"], NOTICE["zh"])

    console.answer(document, human)


@command(commands)
async def show(console: Console, entry_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show one entry · 显示一个条目."""
    from disease_kb import printing
    from disease_kb.errors import NotFoundError

    async with await Edge(console.home).replica().open() as knowledge:
        entry = await knowledge.get(entry_id)
        version = await knowledge.version()
    if entry is None:
        raise NotFoundError("kb.entry.not_found", entry=entry_id)
    document = {**printing.entry_document(entry), "kb_version": version}
    console.answer(document, lambda: printing.entry(console, entry))
