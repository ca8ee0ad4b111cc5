"""``audit heads``: what this node remembers of the coordinator's audit trail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import group
from protocols.console import Console, command

commands = group("audit", "What this node remembers of the coordinator's audit trail · 审计摘要")


@command(commands)
def heads(
    console: Console,
    out: Annotated[Path | None, typer.Option(help="File for medmesh-coordinator audit verify --heads")] = None,
) -> None:
    """Show the signed heads that were kept, or write them to a file · 查看或导出审计摘要."""
    from edge_node.files import naming, write_atomic
    from edge_node.trust.heads import kept
    from protocols.audit import head_of

    identity = Edge(console.home).identity()
    found = kept(Edge(console.home).trust_folder(identity))
    rows = [head.document() for document in found if (head := head_of(document)) is not None]
    if out is not None:
        with naming(out):
            write_atomic(out, json.dumps({"coordinator": identity.ca_sha256, "heads": found}).encode())

    def human() -> None:
        headings = [console.t("Signed", "签名时间"), console.t("Rows", "行数"), console.t("Last row", "末行")]
        console.table(headings, [[r["at"][:19].replace("T", " "), r["count"], r["hash"][:16]] for r in rows])

    console.answer({"heads": rows, "path": None if out is None else str(out)}, human)
