"""What this node carries for others, and what it sent by hand itself. SQLite; every change is one transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_node.errors import EdgeError
from edge_node.sqlite import Schema, SqliteFile
from protocols.bundle import MAX_PARCELS, MAX_PARCELS_BYTES, MAX_RECEIPTS
from protocols.parcels import PaperReceipt, Parcel, parcel_digest

_APPLICATION_ID = 0x4D4D4D4C  # "MMML"
_MOST_BATCHES = 4000  # sent by hand and not acknowledged; the oldest are forgotten, their records go out again

# parcel and receipt: of other nodes, byte for byte. batch: of this node, with the ids of its records; refused: the
# coordinator will not take it as it is.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE parcel (
            sha256 TEXT PRIMARY KEY,
            node TEXT NOT NULL,
            number INTEGER NOT NULL,
            data BLOB NOT NULL
        ) STRICT""",
        "CREATE TABLE receipt (place INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, data BLOB NOT NULL) STRICT",
        """CREATE TABLE batch (
            place INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            records TEXT NOT NULL,
            refused INTEGER NOT NULL DEFAULT 0
        ) STRICT""",
        "CREATE TABLE note (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    ),
)
_SCHEMA = Schema(
    _APPLICATION_ID,
    _MIGRATIONS,
    damaged=lambda path: EdgeError("outbox.damaged", path=path),
    newer=lambda path, found, known: EdgeError("outbox.newer", path=path, found=found, known=known),
    busy=lambda: EdgeError("outbox.busy"),
)


@dataclass(frozen=True)
class SentBatch:
    """A batch of this node that travels by hand, and the records in it."""

    id: str
    records: tuple[str, ...]


class Mail:
    """The open file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Mail]:
        """Open or create it.

        Raises:
            EdgeError: ``outbox.damaged``, ``outbox.newer``, ``outbox.busy`` or ``storage.*``.
        """
        async with SqliteFile.open(path, _SCHEMA) as file:
            yield cls(file)

    async def next_number(self) -> int:
        """The number of this node's next export."""
        async with self._file.transaction():
            await self._file.run("INSERT INTO note VALUES ('number', 1) ON CONFLICT DO UPDATE SET value = value + 1")
        return int((await self._file.rows("SELECT value FROM note WHERE key = 'number'"))[0][0])

    async def note_sent(self, batches: Sequence[SentBatch]) -> None:
        """Remember what goes out by hand, so that a receipt can be matched however late it comes."""
        async with self._file.transaction():
            await self._file.run_many(
                "INSERT INTO batch (id, records) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                [(b.id, json.dumps(b.records)) for b in batches],
            )
            await self._file.run(
                "DELETE FROM batch WHERE place NOT IN (SELECT place FROM batch ORDER BY place DESC LIMIT ?)",
                (_MOST_BATCHES,),
            )

    async def sent(self, ids: Sequence[str]) -> list[SentBatch]:
        """Those of these batches that are remembered."""
        marks = ", ".join("?" * len(ids))
        rows = await self._file.rows(f"SELECT id, records FROM batch WHERE id IN ({marks})", tuple(ids))
        return [SentBatch(batch, tuple(json.loads(records))) for batch, records in rows]

    async def forget_sent(self, ids: Sequence[str]) -> None:
        """Forget batches whose receipt was taken in."""
        async with self._file.transaction():
            await self._file.run_many("DELETE FROM batch WHERE id = ?", [(x,) for x in ids])

    async def mark_refused(self, batch: str) -> None:
        """Note that the coordinator will not take a batch: one of its records is at fault."""
        async with self._file.transaction():
            await self._file.run("UPDATE batch SET refused = 1 WHERE id = ?", (batch,))

    async def suspects(self) -> set[str]:
        """Records of refused batches: each goes alone from now on, so that one does not hold up the others."""
        rows = await self._file.rows("SELECT records FROM batch WHERE refused")
        return {record for row in rows for record in json.loads(row[0])}

    async def keep_parcel(self, parcel: Parcel, data: bytes) -> bool:
        """Carry a node's parcel from now on; returns whether it is new. Its later exports hold what earlier ones held."""
        async with self._file.transaction():
            rows = await self._file.rows("SELECT max(number) FROM parcel WHERE node = ?", (parcel.node,))
            newest = rows[0][0]
            if newest is not None and parcel.number < newest:
                return False
            await self._file.run("DELETE FROM parcel WHERE node = ? AND number < ?", (parcel.node, parcel.number))
            rows = await self._file.rows("SELECT count(*), coalesce(sum(length(data)), 0) FROM parcel")
            if rows[0][0] >= MAX_PARCELS or rows[0][1] + len(data) > MAX_PARCELS_BYTES:
                return False
            changed = await self._file.run(
                "INSERT INTO parcel VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (parcel_digest(data), parcel.node, parcel.number, data),
            )
        return changed > 0

    async def parcels(self) -> list[bytes]:
        """What is carried for others."""
        return [row[0] for row in await self._file.rows("SELECT data FROM parcel ORDER BY node, number, sha256")]

    async def drop_parcel(self, sha256: str) -> None:
        """Carry a parcel no longer."""
        async with self._file.transaction():
            await self._file.run("DELETE FROM parcel WHERE sha256 = ?", (sha256,))

    async def keep_receipt(self, receipt: PaperReceipt, data: bytes) -> bool:
        """Carry a receipt for another node in the place of the parcel that it answers; returns whether it is new."""
        async with self._file.transaction():
            await self._file.run("DELETE FROM parcel WHERE sha256 = ?", (receipt.parcel,))
            changed = await self._file.run(
                "INSERT INTO receipt (sha256, data) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING",
                (parcel_digest(data), data),
            )
            await self._file.run(
                "DELETE FROM receipt WHERE place NOT IN (SELECT place FROM receipt ORDER BY place DESC LIMIT ?)",
                (MAX_RECEIPTS,),
            )
        return changed > 0

    async def receipts(self) -> list[bytes]:
        """Receipts for other nodes, the oldest first."""
        return [row[0] for row in await self._file.rows("SELECT data FROM receipt ORDER BY place")]
