"""Reports of nodes in the database. A report is known by its node and id, so that sending it again changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.store.database import Database
from coordinator.store.tables import confirmations, nodes, results
from protocols.results.report import Confirmation, Report, ResultReport, read_report

_PAGE = 1000

Batch = tuple[str, Sequence[Report]]  # node, what it reports


@dataclass(frozen=True)
class Chosen:
    """Which results: all, or those of one disease, or those that arrived since a time."""

    disease: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Arrived:
    """A result at the coordinator, with the clinician's last word on it."""

    node: str
    site: str
    received: str
    report: ResultReport
    word: Confirmation | None


class Results:
    """Stores and reads reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, batches: Sequence[Batch], now: datetime) -> set[str]:
        """Commit all batches together; returns the nodes of which nothing was taken, since they are not enrolled."""
        async with self._database.begin() as connection:
            enrolled = await _enrolled(connection, {node for node, _ in batches})
            rows: dict[Table, list[dict[str, Any]]] = {results: [], confirmations: []}
            for node, reports in batches:
                for report in reports if node in enrolled else ():
                    table, row = _row(report)
                    rows[table].append({**row, "node": node, "received": now.isoformat(timespec="seconds")})
            for table, values in rows.items():
                if values:
                    await connection.execute(_insert_new(connection, table), values)
        return {node for node, _ in batches} - enrolled

    async def summary(self, chosen: Chosen) -> list[dict[str, Any]]:
        """Counts by release and outcome: results, confirmed ones, and ones where the clinician agreed."""
        joined = _with_words(chosen).subquery()
        columns = (joined.c.disease, joined.c.release, joined.c.outcome)
        query = select(
            *columns,
            func.count(),
            func.count(joined.c.word_label),
            func.sum(case((joined.c.word_label == joined.c.label, 1), else_=0)),
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query.group_by(*columns).order_by(*columns))).all()
        names = ("disease", "release", "outcome", "results", "confirmed", "agreed")
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def latest(self, chosen: Chosen, most: int) -> list[Arrived]:
        """The results that arrived last."""
        query = _with_words(chosen).order_by(results.c.number.desc()).limit(most)
        async with self._database.read() as connection:
            return [_arrived(row) for row in await connection.execute(query)]

    async def exported(self, told: dict[str, Any], now: datetime) -> None:
        """Put on record that results were written to a file."""
        async with self._database.begin() as connection:
            await record(connection, current.get(), "results.export", "results", told, now)

    async def every(self, chosen: Chosen) -> AsyncIterator[Arrived]:
        """All results in the order of arrival, page by page."""
        after = 0
        while True:
            query = _with_words(chosen).where(results.c.number > after).order_by(results.c.number).limit(_PAGE)
            async with self._database.read() as connection:
                page = (await connection.execute(query)).all()
            for row in page:
                yield _arrived(row)
            if len(page) < _PAGE:
                return
            after = page[-1].number


async def _enrolled(connection: AsyncConnection, wanted: Collection[str]) -> set[str]:
    rows = await connection.scalars(select(nodes.c.id).where(nodes.c.id.in_(wanted), ~nodes.c.revoked))
    return set(rows)


def _row(report: Report) -> tuple[Table, dict[str, Any]]:
    row = {"id": report.id, "report": report.document()}
    if isinstance(report, Confirmation):
        return confirmations, {**row, "result": report.result, "revision": report.revision, "label": report.label}
    more = {"release": report.release, "outcome": report.outcome, "label": report.scores[0].label}
    return results, {**row, **more, "disease": report.disease}


def _insert_new(connection: AsyncConnection, table: Table) -> Any:
    """An insert that passes over what is there already."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing(index_elements=["node", "id"])


def _with_words(chosen: Chosen) -> Select[Any]:
    """Chosen results with the last word on each, where there is one from the same node."""
    word = confirmations.alias("word")
    last = (
        select(word.c.number)
        .where(word.c.node == results.c.node, word.c.result == results.c.id)
        .order_by(word.c.revision.desc(), word.c.number.desc())
        .limit(1)
        .correlate(results)
        .scalar_subquery()
    )
    query = (
        select(results, nodes.c.site, confirmations.c.label.label("word_label"), confirmations.c.report.label("word"))
        .join(nodes, nodes.c.id == results.c.node)
        .outerjoin(confirmations, confirmations.c.number == last)
    )
    if chosen.disease is not None:
        query = query.where(results.c.disease == chosen.disease)
    if chosen.since is not None:
        query = query.where(results.c.received >= chosen.since.isoformat(timespec="seconds"))
    return query


def _arrived(row: Any) -> Arrived:
    report = read_report(row.report)
    word = None if row.word is None else read_report(row.word)
    assert isinstance(report, ResultReport) and isinstance(word, Confirmation | None)
    return Arrived(row.node, row.site, row.received, report, word)
