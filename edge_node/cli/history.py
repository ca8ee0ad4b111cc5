"""``history``: the results on this machine. Without a further word it lists them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperGroup

from edge_node.bootstrap import Edge, utc_now
from edge_node.cli.root import app
from edge_node.cli.text import time_text
from edge_node.errors import EdgeError
from edge_node.files import write_atomic
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.outbox.history import Remembered

_STATES = {
    "queued": ("queued", "待发送"),
    "sent": ("sent", "已发送"),
    "refused": ("refused", "被拒绝"),
    "elsewhere": ("for a former coordinator", "属于原协调端"),
}


class _ListsByDefault(TyperGroup):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


commands = typer.Typer(
    cls=_ListsByDefault, help="Results on this machine: list, search, show, export, forget · 历史结果"
)
app.add_typer(commands, name="history")

Disease = Annotated[str | None, typer.Option("--disease", help="Disease · 疾病")]


class Form(StrEnum):
    """What ``export`` writes."""

    CSV = "csv"
    FHIR = "fhir"


@command(commands, "list")
async def list_(
    console: Console,
    search: Annotated[str | None, typer.Option("--search", help="Case, file, disease or label · 搜索")] = None,
    disease: Disease = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most results · 最多条数")] = 20,
) -> None:
    """List results, the newest first; "history" alone does it too · 列出历史结果."""
    from edge_node.outbox.history import Listed

    edge, listed = Edge(console.home), Listed()
    if edge.paths.outbox.exists():
        async with edge.history() as history:
            listed = await history.search(search, disease, limit)
    document = {"results": [_row(item) for item in listed.results], "unreadable": listed.unreadable}

    def human() -> None:
        headings = [
            console.t("Id", "编号"),
            console.t("Time", "时间"),
            console.t("Case", "病例"),
            console.t("Disease", "疾病"),
            console.t("Answer", "结果"),
            console.t("Confirmed", "已确认"),
            console.t("Coordinator", "协调端"),
        ]
        console.table(headings, [_cells(console, item) for item in listed.results])
        if listed.unreadable:
            console.line(
                f"{listed.unreadable} results are damaged and cannot be read.",
                f"{listed.unreadable} 个结果已损坏，无法读取。",
            )

    console.answer(document, human)


def _row(item: Remembered) -> dict[str, Any]:
    result = item.result
    return {
        "id": item.id,
        "made": item.made.isoformat(),
        "case": result.get("case"),
        "image": result["image"],
        "disease": result["disease"],
        "release": result["release"],
        "outcome": result["outcome"],
        "labels": result["labels"],
        "prediction_set": result["prediction_set"],
        "confirmed": _confirmed(item),
        "state": item.state,
    }


def _confirmed(item: Remembered) -> dict[str, Any] | None:
    if item.word is None:
        return None
    return {"label": item.word.label, "entry": item.word.entry, "made": item.word.made.isoformat()}


def _cells(console: Console, item: Remembered) -> list[str]:
    best = item.result["labels"][0]
    return [
        item.id[:8],
        time_text(item.made),
        item.result.get("case", ""),
        item.result["disease"],
        f"{item.result['outcome']}: {best['name'][console.language]} {best['score']:.2f}",
        "" if item.word is None else item.word.label,
        console.t(*_STATES[item.state]),
    ]


@command(commands)
async def show(
    console: Console,
    result: Annotated[str, typer.Argument(metavar="RESULT", help="Its id, or the first characters")],
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="OUT", help="Write the kept copy · 导出保存的图像")
    ] = None,
) -> None:
    """Show one result again, whole, with the clinician's word · 重新显示一个结果."""
    async with Edge(console.home).history() as history:
        item = await history.show(result)
        copy = await history.pictures.of(item.id)
    if picture is not None:
        if copy is None:
            raise EdgeError("outbox.no_picture", reference=item.id[:8])
        write_atomic(picture, copy.data, mode=0o600)

    def human() -> None:
        from edge_node.cli.findings import print_findings

        heading = f"{item.id}  {time_text(item.made)}"
        console.line(heading, heading)
        print_findings(console, [{**item.result, "rank": 1}])
        if item.word is not None:
            console.line(f"Confirmed by the clinician: {item.word.label}", f"临床医生确认：{item.word.label}")
        if picture is not None:
            console.line(f"Picture written to {picture}", f"图像已写入 {picture}")
        elif copy is not None:
            console.line(
                "A copy of the picture is kept; --picture OUT writes it.", "保存有图像副本，可用 --picture OUT 导出。"
            )

    document = {
        "result": item.result,
        "made": item.made.isoformat(),
        "confirmed": _confirmed(item),
        "state": item.state,
        "picture_bytes": None if copy is None else len(copy.data),
    }
    console.answer(document, human)


@command(commands)
async def export(
    console: Console,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File · 目标文件")],
    form: Annotated[Form, typer.Option("--format", help="csv | fhir (R4B bundle)")] = Form.CSV,
    disease: Disease = None,
    with_case: Annotated[bool, typer.Option("--with-case", help="CSV: also case and file name · 含病例编号")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite · 覆盖")] = False,
) -> None:
    """Write the history as a table or for a hospital's system; cases stay out unless asked for · 导出历史结果."""
    from edge_node.outbox.export import export_history

    if with_case and form is Form.FHIR:
        raise click.BadParameter("--with-case goes with --format csv: a FHIR export names no case")
    edge = Edge(console.home)
    async with edge.history() as history:
        exported = await export_history(
            history, out, form.value, disease, edge.replica(), utc_now(), with_case=with_case, force=force
        )
    document = {"path": str(out), "format": form.value, **exported.document()}

    def human() -> None:
        console.line(f"{exported.results} results → {out}", f"{exported.results} 个结果 → {out}")
        if exported.left_out:
            console.line(f"{exported.left_out} could not be exported.", f"{exported.left_out} 个无法导出。")

    console.answer(document, human)


@command(commands)
async def forget(
    console: Console,
    result: Annotated[str | None, typer.Argument(metavar="[RESULT]", help="Its id · 结果编号")] = None,
    older_than: Annotated[
        int | None, typer.Option("--older-than", min=0, max=100_000, metavar="DAYS", help="All older results · 天数")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask · 不再询问")] = False,
) -> None:
    """Delete results from this machine for good, with the clinician's words on them · 永久删除历史结果."""
    async with Edge(console.home).history() as history:
        ids, unsent = await history.chosen(result, older_than)
        if ids and not yes:
            _ask(console, len(ids), unsent)
        await history.forget(ids)
    console.answer(
        {"forgotten": ids, "unsent": unsent},
        lambda: console.line(
            f"{len(ids)} results forgotten. What the coordinator was told of them stays there, without name or case.",
            f"已删除 {len(ids)} 个结果。协调端已收到的匿名报告不受影响。",
        ),
    )


def _ask(console: Console, results: int, unsent: int) -> None:
    """Make sure; where nobody can be asked, ``--yes`` is needed."""
    if console.json or not sys.stdin.isatty():
        raise EdgeError("outbox.forget_sure", results=results, queued=unsent)
    question = console.t(
        f"Delete {results} results for good? {unsent} records of them were never sent to the coordinator.",
        f"永久删除 {results} 个结果？其中 {unsent} 条记录尚未发送到协调端。",
    )
    typer.confirm(question, abort=True)
