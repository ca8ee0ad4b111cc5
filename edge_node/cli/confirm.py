"""``confirm``."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app
from protocols.console import Console, command


@command(app)
async def confirm(
    console: Console,
    result: Annotated[str, typer.Argument(metavar="RESULT", help="Its id, or the first characters · 结果编号")],
    label: Annotated[str, typer.Option("--label", help="A label of the model, or other · 标签，或 other")],
) -> None:
    """Say what it is: the picture stays here, the label is queued to the coordinator; later words replace · 确认结果."""
    async with Edge(console.home).history() as history:
        kept = await history.confirm(result, label)
    assert kept.word is not None
    document = {
        "id": kept.id,
        "label": kept.word.label,
        "entry": kept.word.entry,
        "predicted": kept.result["labels"][0]["label"],
        "state": kept.state,
    }
    console.answer(
        document,
        lambda: console.line(
            f"Saved: {kept.id[:8]} is {label}. The label is queued for the coordinator; the picture stays here.",
            f"已保存：{kept.id[:8]} 为 {label}。标签已排队等待发送到协调端，图像留在本机。",
        ),
    )
