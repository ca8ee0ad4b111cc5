"""``results …``: what nodes reported, counted and exported."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.errors import CoordinatorError
from coordinator.results.store import Arrived, Chosen
from protocols.console import NOTICE, Console, command

Disease = Annotated[str | None, typer.Option("--disease", help="Only this one · 疾病")]
Since = Annotated[str | None, typer.Option("--since", metavar="DATE", help="Arrived since, YYYY-MM-DD · 起始日期")]


class Format(StrEnum):
    """What ``export`` writes."""

    CSV = "csv"
    FHIR = "fhir"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Results that nodes reported · 节点上报的结果")
    app.add_typer(group, name="results")
    command(group, "list")(list_)
    command(group)(export)


def _chosen(disease: str | None, since: str | None) -> Chosen:
    try:
        start = None if since is None else datetime.fromisoformat(since)
    except ValueError as error:
        raise CoordinatorError("usage", problem="--since takes a date such as 2026-01-31") from error
    if start is not None:
        start = (start if start.tzinfo else start.replace(tzinfo=UTC)).astimezone(UTC)
    return Chosen(disease, start)


async def list_(
    console: Console,
    disease: Disease = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="Most results shown · 最多条数")] = 20,
) -> None:
    """Count results by release and outcome, and show the latest."""
    chosen = _chosen(disease, since)
    async with open_coordinator(console.home) as coordinator:
        counts = await coordinator.results.summary(chosen)
        latest = await coordinator.results.latest(chosen, limit)
    totals = {key: sum(row[key] for row in counts) for key in ("results", "confirmed", "agreed")}
    document = {**totals, "counts": counts, "latest": [_row(x) for x in latest], "notice": NOTICE["en"]}
    console.answer(document, lambda: _print(console, counts, latest))


def _row(arrived: Arrived) -> dict[str, Any]:
    return {
        **arrived.report.document(),
        "node": arrived.node,
        "site": arrived.site,
        "received": arrived.received,
        "confirmed": None if arrived.word is None else arrived.word.label,
    }


def _print(console: Console, counts: list[dict[str, Any]], latest: list[Arrived]) -> None:
    headings = [
        console.t("disease", "疾病"),
        console.t("release", "发布"),
        console.t("outcome", "结论"),
        console.t("results", "结果数"),
        console.t("confirmed", "已确认"),
        console.t("agreed", "一致"),
    ]
    console.table(headings, [list(row.values()) for row in counts])
    if latest:
        titles = [
            console.t("received", "接收时间"),
            console.t("site", "机构"),
            console.t("release", "发布"),
            console.t("outcome", "结论"),
            console.t("label", "标签"),
            console.t("confirmed", "已确认"),
        ]
        rows = [
            [
                x.received,
                x.site or x.node,
                x.report.release,
                x.report.outcome,
                x.report.scores[0].label,
                "" if x.word is None else x.word.label,
            ]
            for x in latest
        ]
        console.table(titles, rows)
    console.line(NOTICE["en"], NOTICE["zh"])


async def export(
    console: Console,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File · 目标文件")],
    form: Annotated[Format, typer.Option("--format", help="csv | fhir (R4B bundle)")] = Format.CSV,
    disease: Disease = None,
    since: Since = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite · 覆盖")] = False,
) -> None:
    """Write results as a table, or as FHIR diagnostic reports without any patient."""
    from coordinator.results.export import export_results
    from disease_kb.seeding import open_or_build

    chosen = _chosen(disease, since)
    async with open_coordinator(console.home) as coordinator, await open_or_build(console.home) as knowledge:
        written = await export_results(coordinator.results, chosen, out, form.value, knowledge, utc_now(), force=force)
    console.answer(
        {"path": str(out), "format": form.value, "results": written},
        lambda: console.line(f"{written} results → {out}", f"{written} 个结果 → {out}"),
    )
