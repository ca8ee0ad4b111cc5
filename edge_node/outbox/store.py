"""Sealed records in SQLite: added, acknowledged, forgotten. Knows nothing of what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_node.errors import EdgeError
from edge_node.outbox.ballast import Ballast
from edge_node.outbox.schema import APPLICATION_ID, MIGRATIONS
from edge_node.sqlite import Schema, SqliteFile

_SCHEMA = Schema(
    APPLICATION_ID,
    MIGRATIONS,
    damaged=lambda path: EdgeError("outbox.damaged", path=path),
    newer=lambda path, found, known: EdgeError("outbox.newer", path=path, found=found, known=known),
    busy=lambda: EdgeError("outbox.busy"),
)
_COLUMNS = "number, id, result, revision, made, coordinator, brief, acknowledged, refused"
_WIRE_BYTES = "wire_bytes"
_FEW = 10  # results whose deletion fits into the ballast


@dataclass(frozen=True)
class NewRecord:
    """A sealed record to keep.

    Attributes:
        id: 128 random bits, hexadecimal.
        result: the result that a confirmation is about; None: it is a result itself.
        revision: of a confirmation, from 1; 0 for a result.
        made: when, UTC.
        brief: sealed: what lists and reports need.
        detail: sealed: the rest of a result; None for a confirmation.
    """

    id: str
    result: str | None
    revision: int
    made: datetime
    brief: bytes
    detail: bytes | None


@dataclass(frozen=True)
class StoredRecord(NewRecord):
    """A record as it is kept. ``number`` rises in the order of making; see ``schema`` for the rest."""

    number: int
    coordinator: str | None
    acknowledged: datetime | None
    refused: str | None


@dataclass(frozen=True)
class Counts:
    """How the history stands.

    Attributes:
        results: kept here.
        queued: records that the present coordinator will be sent.
        refused: records that it, or this program, turned down; a person's ``sync`` tries them again.
        elsewhere: unsent records for another coordinator than the present one.
        acknowledged: records that a coordinator has, and that retention has not removed yet.
        oldest_queued: when the record was made that has waited longest.
        wire_bytes: sent and received for the outbox so far, without TLS.
        key_place: where the key is; None: there is no history yet.
    """

    results: int = 0
    queued: int = 0
    refused: int = 0
    elsewhere: int = 0
    acknowledged: int = 0
    oldest_queued: datetime | None = None
    wire_bytes: int = 0
    key_place: str | None = None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        oldest = self.oldest_queued
        return {**asdict(self), "oldest_queued": None if oldest is None else oldest.isoformat()}


class OutboxStore:
    """The open history. Every change is one transaction."""

    def __init__(self, file: SqliteFile) -> None:
        self.file = self._file = file
        self._ballast = Ballast(file.path.with_suffix(".ballast"))
        self.path = file.path

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[OutboxStore]:
        """Open or create the history.

        Raises:
            EdgeError: ``outbox.damaged``, ``outbox.newer``, ``outbox.busy`` or ``storage.*``.
        """
        async with SqliteFile.open(path, _SCHEMA) as file:
            yield cls(file)

    async def add(self, records: Sequence[NewRecord], coordinator: str | None, most_waiting: int) -> None:
        """Keep records, all or none; one whose id is here already is the same one and changes nothing.

        Raises:
            EdgeError: ``outbox.full`` where more than ``most_waiting`` would be unsent.
        """
        async with self._file.transaction():
            await self._insert(records, coordinator)
            await self._check_room(most_waiting)
        self._ballast.take_up()

    async def add_confirmation(self, result: str, seal: Callable[[int], NewRecord], most_waiting: int) -> None:
        """Keep a confirmation, for the coordinator that its ``result`` is for.

        Args:
            result: the id of a result that is here.
            seal: makes the confirmation, given the revision that it is.
            most_waiting: as in ``add``.

        Raises:
            EdgeError: ``outbox.full``.
        """
        async with self._file.transaction():
            rows = await self._file.rows(
                """SELECT coordinator, (SELECT coalesce(max(revision), 0) FROM record WHERE result = ?1)
                FROM record WHERE id = ?1""",
                (result,),
            )
            coordinator, revision = rows[0]
            await self._insert([seal(revision + 1)], coordinator)
            await self._check_room(most_waiting)

    async def _insert(self, records: Sequence[NewRecord], coordinator: str | None) -> None:
        await self._file.run_many(
            """INSERT INTO record (id, result, revision, made, coordinator, brief, detail)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING""",
            [(r.id, r.result, r.revision, r.made.isoformat(), coordinator, r.brief, r.detail) for r in records],
        )

    async def _check_room(self, most_waiting: int) -> None:
        waiting = (await self._file.rows("SELECT count(*) FROM record WHERE acknowledged IS NULL"))[0][0]
        if waiting > most_waiting:
            raise EdgeError("outbox.full", queued=most_waiting)

    async def ids(self, prefix: str) -> list[str]:
        """Ids of the results that begin with ``prefix``, two at most."""
        end = prefix + "g"  # sorts behind every hexadecimal digit
        rows = await self._file.rows(
            "SELECT id FROM record WHERE result IS NULL AND id >= ? AND id < ? LIMIT 2", (prefix, end)
        )
        return [row[0] for row in rows]

    async def results(self, before: int | None, most: int) -> list[StoredRecord]:
        """Results, the newest first, from below the number ``before`` on."""
        return await self._select(
            "WHERE result IS NULL AND number < ? ORDER BY number DESC LIMIT ?", (before or 2**62, most)
        )

    async def record(self, record_id: str) -> StoredRecord | None:
        """One record, and the only way to its detail, which is long."""
        return next(iter(await self._select("WHERE id = ?", (record_id,), "detail")), None)

    async def confirmations(self, results: Sequence[str]) -> list[StoredRecord]:
        """The last confirmation of each of ``results`` that has one."""
        marks = ", ".join("?" * len(results))
        return await self._select(
            f"""WHERE result IN ({marks}) AND revision =
            (SELECT max(revision) FROM record AS other WHERE other.result = record.result)""",
            results,
        )

    async def waiting(self, coordinator: str, most: int) -> list[StoredRecord]:
        """The oldest records that ``coordinator`` is to be sent, in the order of making."""
        return await self._select(
            """WHERE acknowledged IS NULL AND refused IS NULL AND (coordinator IS NULL OR coordinator = ?)
            ORDER BY number LIMIT ?""",
            (coordinator, most),
        )

    async def acknowledge(self, ids: Sequence[str], coordinator: str, now: datetime, wire_bytes: int) -> None:
        """Note that ``coordinator`` has these records for good, and what it cost to send them."""
        async with self._file.transaction():
            await self._file.run_many(
                "UPDATE record SET acknowledged = ?, coordinator = ? WHERE id = ? AND acknowledged IS NULL",
                [(now.isoformat(), coordinator, record_id) for record_id in ids],
            )
            await self._count_bytes(wire_bytes)

    async def _count_bytes(self, wire_bytes: int) -> None:
        await self._file.run(
            """INSERT INTO note VALUES (?, ?)
            ON CONFLICT DO UPDATE SET value = CAST(CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER) AS TEXT)""",
            (_WIRE_BYTES, str(wire_bytes)),
        )

    async def refuse(self, record_id: str, code: str) -> None:
        """Set a record aside that was turned down, so that it does not hold up the others."""
        async with self._file.transaction():
            await self._file.run("UPDATE record SET refused = ? WHERE id = ?", (code, record_id))

    async def retry_refused(self) -> None:
        """Put what was turned down back into the queue."""
        async with self._file.transaction():
            await self._file.run("UPDATE record SET refused = NULL WHERE refused IS NOT NULL")

    async def counts(self, coordinator: str | None) -> Counts:
        """How the history stands for the present coordinator; None: the node has not joined one."""
        rows = await self._file.rows(
            """SELECT count(*) FILTER (WHERE result IS NULL),
                count(*) FILTER (WHERE waiting AND ours AND refused IS NULL),
                count(*) FILTER (WHERE waiting AND ours AND refused IS NOT NULL),
                count(*) FILTER (WHERE waiting AND NOT ours),
                count(*) FILTER (WHERE NOT waiting),
                min(made) FILTER (WHERE waiting AND ours AND refused IS NULL)
            FROM (SELECT *, acknowledged IS NULL AS waiting, coordinator IS NULL OR coordinator IS ? AS ours FROM record)""",
            (coordinator,),
        )
        results, queued, refused, elsewhere, acknowledged, oldest = rows[0]
        return Counts(
            results,
            queued,
            refused,
            elsewhere,
            acknowledged,
            None if oldest is None else datetime.fromisoformat(oldest),
            int(await self.note(_WIRE_BYTES) or 0),
            await self.note("key_place"),
        )

    async def unsent(self, results: Sequence[str]) -> int:
        """How many records of these results, confirmations included, no coordinator has."""
        marks = ", ".join("?" * len(results))
        rows = await self._file.rows(
            f"SELECT count(*) FROM record WHERE acknowledged IS NULL AND (id IN ({marks}) OR result IN ({marks}))",
            (*results, *results),
        )
        return int(rows[0][0])

    async def made_before(self, time: datetime) -> list[str]:
        """Ids of the results made before ``time``, the oldest first."""
        query = "SELECT id FROM record WHERE result IS NULL AND made < ? ORDER BY number"
        rows = await self._file.rows(query, (time.isoformat(),))
        return [row[0] for row in rows]

    async def forget(self, results: Sequence[str]) -> None:
        """Delete results with their confirmations; on a full disk a few at a time, so that each makes room for more.

        Raises:
            EdgeError: ``storage.full``: not all of them could be deleted.
        """
        try:
            await self._delete(results)
        except EdgeError as error:
            if error.code != "storage.full" or not self._ballast.drop():
                raise
            newest_first = results[::-1]
            for start in range(0, len(results), _FEW):
                await self._delete(newest_first[start : start + _FEW])

    async def _delete(self, results: Sequence[str]) -> None:
        async with self._file.transaction():
            await self._file.run_many("DELETE FROM record WHERE id = ? AND result IS NULL", [(x,) for x in results])
        await self._file.empty_log()

    async def expire(self, time: datetime) -> int:
        """Delete the results of which everything was acknowledged before ``time``; returns how many there were.

        A confirmed one whose picture is kept stays: it is one of this site's labelled images.
        """
        async with self._file.transaction():
            expired = await self._file.run(
                """DELETE FROM record WHERE result IS NULL AND acknowledged < ?1 AND NOT EXISTS (
                    SELECT 1 FROM record AS word WHERE word.result = record.id
                    AND (word.acknowledged IS NULL OR word.acknowledged >= ?1
                         OR EXISTS (SELECT 1 FROM shown WHERE shown.result = record.id)))""",
                (time.isoformat(),),
            )
        if expired:
            await self._file.empty_log()
        return expired

    async def note(self, key: str) -> str | None:
        """A remembered word."""
        rows = await self._file.rows("SELECT value FROM note WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    async def set_notes(self, notes: dict[str, str]) -> None:
        """Remember words, all or none."""
        async with self._file.transaction():
            for key, value in notes.items():
                await self._file.run("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    async def _select(self, where: str, values: Sequence[Any], detail: str = "NULL") -> list[StoredRecord]:
        rows = await self._file.rows(f"SELECT {_COLUMNS}, {detail} FROM record {where}", values)
        return [
            StoredRecord(
                record_id,
                result,
                revision,
                datetime.fromisoformat(made),
                brief,
                long_part,
                number,
                coordinator,
                None if acknowledged is None else datetime.fromisoformat(acknowledged),
                refused,
            )
            for number, record_id, result, revision, made, coordinator, brief, acknowledged, refused, long_part in rows
        ]
