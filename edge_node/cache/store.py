"""The index of the cache: installed releases, what each needs, and when files were last verified. SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiosqlite

from edge_node.cache.schema import APPLICATION_ID, MIGRATIONS
from edge_node.errors import EdgeError
from edge_node.trust.catalogue import CatalogueRelease, KnowledgeReference
from edge_node.trust.record import TrustRecord
from protocols.artifacts import Artifact

_BUSY_TIMEOUT_MS = 15_000
_MOST_EVENTS = 200


@dataclass(frozen=True)
class InstalledRelease:
    """A release on this machine. ``files`` starts with the manifest."""

    disease: str
    model: str
    version: int
    active: bool
    installed: datetime
    files: tuple[Artifact, ...]

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"

    @property
    def manifest(self) -> Artifact:
        """The manifest's artifact."""
        return self.files[0]


@dataclass(frozen=True)
class Event:
    """Something that went wrong on this machine and that the coordinator should hear of; equal ones are counted."""

    code: str
    subject: str
    message: str
    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True)
class Quarantined:
    """A release that must not run here, and the code of what it did."""

    disease: str
    model: str
    version: int
    code: str
    since: datetime

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class Floor:
    """From now on, no lower version of the activated model may be chosen."""

    coordinator: str
    version: int


@dataclass(frozen=True)
class Stamp:
    """Size and modification time of a file when its digest was last found right."""

    size_bytes: int
    mtime_ns: int


class CacheStore:
    """An open index. Every change is one transaction."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[CacheStore]:
        """Open or create the index.

        Raises:
            EdgeError: ``edge.index_damaged``, ``edge.index_newer`` or ``storage.*``.
        """
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = await aiosqlite.connect(path, isolation_level=None)
        try:
            store = cls(path, connection)
            with _translated(path):
                await connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
                await connection.execute("PRAGMA journal_mode = WAL")
                await connection.execute("PRAGMA synchronous = FULL")
                await connection.execute("PRAGMA foreign_keys = ON")
                await store._migrate()
            yield store
        finally:
            await connection.close()

    async def installed(self) -> list[InstalledRelease]:
        """Every release on this machine, the active one of a model before its previous one."""
        needs: dict[int, list[Artifact]] = {}
        for release, role, sha256, size in await self._rows(
            "SELECT release, role, sha256, size FROM need ORDER BY release, place"
        ):
            needs.setdefault(release, []).append(Artifact(role, sha256, size))
        rows = await self._rows(
            "SELECT number, disease, model, version, state, installed FROM release ORDER BY disease, model, state"
        )
        return [
            InstalledRelease(
                disease, model, version, state == "active", datetime.fromisoformat(installed), tuple(needs[number])
            )
            for number, disease, model, version, state, installed in rows
        ]

    async def activate(
        self,
        disease: str,
        model: str,
        version: int,
        files: Sequence[Artifact],
        now: datetime,
        floor: Floor | None = None,
    ) -> None:
        """Make a version the active one of its model; the one before becomes the previous one, older ones go.

        Versions below it leave the quarantine.
        """
        key = (disease, model)
        async with self._transaction():
            await self._run("DELETE FROM quarantine WHERE disease = ? AND model = ? AND version < ?", (*key, version))
            await self._run("DELETE FROM release WHERE disease = ? AND model = ? AND version = ?", (*key, version))
            if await self._rows("SELECT 1 FROM release WHERE disease = ? AND model = ? AND state = 'active'", key):
                await self._run("DELETE FROM release WHERE disease = ? AND model = ? AND state = 'previous'", key)
            await self._run(
                "UPDATE release SET state = 'previous' WHERE disease = ? AND model = ? AND state = 'active'", key
            )
            number = await self._run(
                "INSERT INTO release (disease, model, version, state, installed) VALUES (?, ?, ?, 'active', ?)",
                (*key, version, now.isoformat(timespec="seconds")),
            )
            for place, artifact in enumerate(files):
                await self._run(
                    "INSERT INTO need VALUES (?, ?, ?, ?, ?)",
                    (number, place, artifact.role, artifact.sha256, artifact.size_bytes),
                )
            if floor is not None:
                await self._run(
                    """INSERT INTO version_floor VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
                    SET version = max(version, excluded.version)""",
                    (floor.coordinator, *key, floor.version),
                )

    async def floors(self, coordinator: str) -> dict[tuple[str, str], int]:
        """The lowest version that may be chosen, by (disease, model)."""
        rows = await self._rows(
            "SELECT disease, model, version FROM version_floor WHERE coordinator = ?", (coordinator,)
        )
        return {(disease, model): version for disease, model, version in rows}

    async def trust(self, coordinator: str) -> TrustRecord | None:
        """What was last verified of a coordinator."""
        rows = await self._rows(
            """SELECT document, serial, rollout_keys, timestamp_keys, time_floor, verified, revoked
            FROM trust WHERE coordinator = ?""",
            (coordinator,),
        )
        if not rows:
            return None
        document, serial, rollout_keys, timestamp_keys, floor, verified, revoked = rows[0]
        return TrustRecord(
            document=document,
            serial=serial,
            rollout_keys=frozenset(json.loads(rollout_keys)),
            timestamp_keys=frozenset(json.loads(timestamp_keys)),
            time_floor=datetime.fromisoformat(floor),
            verified=datetime.fromisoformat(verified),
            revoked=json.loads(revoked),
        )

    async def set_trust(self, coordinator: str, record: TrustRecord) -> None:
        """Keep what was just verified."""
        values = (
            record.document,
            record.serial,
            json.dumps(sorted(record.rollout_keys)),
            json.dumps(sorted(record.timestamp_keys)),
            record.time_floor.isoformat(),
            record.verified.isoformat(),
            json.dumps(dict(record.revoked), ensure_ascii=False),
        )
        async with self._transaction():
            await self._run(
                """INSERT INTO trust (coordinator, document, serial, rollout_keys, timestamp_keys, time_floor, verified,
                revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET document = excluded.document,
                serial = excluded.serial, rollout_keys = excluded.rollout_keys,
                timestamp_keys = excluded.timestamp_keys, time_floor = excluded.time_floor,
                verified = excluded.verified, revoked = excluded.revoked""",
                (coordinator, *values),
            )

    async def listed(self, coordinator: str) -> dict[tuple[str, str], CatalogueRelease]:
        """The approved releases that were last in the list, by (disease, name)."""
        rows = await self._rows(
            "SELECT disease, model, version, signer, files FROM listed WHERE coordinator = ?", (coordinator,)
        )
        found = [
            CatalogueRelease(disease, model, version, signer, *_first_and_rest(files))
            for disease, model, version, signer, files in rows
        ]
        return {(release.disease, release.name): release for release in found}

    async def set_listed(
        self, coordinator: str, releases: Sequence[CatalogueRelease], knowledge: KnowledgeReference | None
    ) -> None:
        """Keep the approved releases and the replica that the list names now."""
        described = None if knowledge is None else json.dumps(knowledge.document())
        async with self._transaction():
            await self._run("DELETE FROM listed WHERE coordinator = ?", (coordinator,))
            for r in releases:
                files = json.dumps([artifact.document() for artifact in r.files])
                await self._run(
                    "INSERT INTO listed VALUES (?, ?, ?, ?, ?, ?)",
                    (coordinator, r.disease, r.model, r.version, r.signer, files),
                )
            await self._run("UPDATE trust SET knowledge = ? WHERE coordinator = ?", (described, coordinator))

    async def knowledge(self, coordinator: str) -> KnowledgeReference | None:
        """The replica that the list last named."""
        rows = await self._rows("SELECT knowledge FROM trust WHERE coordinator = ?", (coordinator,))
        if not rows or rows[0][0] is None:
            return None
        return KnowledgeReference.from_document(json.loads(rows[0][0]))

    async def add_event(self, code: str, subject: str, message: str, now: datetime) -> None:
        """Note a failure for the coordinator to hear of; one that happens again is counted."""
        when = now.isoformat(timespec="seconds")
        async with self._transaction():
            await self._run(
                """INSERT INTO event (code, subject, message, first, last, count) VALUES (?, ?, ?, ?, ?, 1)
                ON CONFLICT DO UPDATE SET message = excluded.message, last = excluded.last, count = count + 1""",
                (code, subject, message, when, when),
            )
            await self._run(
                "DELETE FROM event WHERE number NOT IN (SELECT number FROM event ORDER BY last DESC, number DESC LIMIT ?)",
                (_MOST_EVENTS,),
            )

    async def events(self) -> list[Event]:
        """What waits to be told, the latest first."""
        rows = await self._rows(
            "SELECT code, subject, message, first, last, count FROM event ORDER BY last DESC, number DESC"
        )
        return [
            Event(code, subject, message, datetime.fromisoformat(first), datetime.fromisoformat(last), count)
            for code, subject, message, first, last, count in rows
        ]

    async def quarantine(
        self, disease: str, model: str, version: int, code: str, now: datetime, *, go_back: bool
    ) -> None:
        """Put a release into quarantine; with ``go_back`` the previous one becomes active if this one was."""
        key = (disease, model, version)
        async with self._transaction():
            await self._run(
                "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)",
                (*key, code, now.isoformat(timespec="seconds")),
            )
            if go_back and await self._is_in_state(*key, "active"):
                await self._exchange(disease, model)

    async def unquarantine(self, disease: str, model: str, version: int) -> None:
        """Let a release run again; where the version before it stands in, it becomes active again."""
        key = (disease, model, version)
        async with self._transaction():
            await self._run("DELETE FROM quarantine WHERE disease = ? AND model = ? AND version = ?", key)
            active = await self._rows(
                "SELECT version FROM release WHERE disease = ? AND model = ? AND state = 'active'", (disease, model)
            )
            if active and active[0][0] < version and await self._is_in_state(*key, "previous"):
                await self._exchange(disease, model)

    async def quarantined(self) -> list[Quarantined]:
        """Releases that must not run here."""
        rows = await self._rows("SELECT disease, model, version, code, since FROM quarantine ORDER BY model, version")
        return [
            Quarantined(disease, model, version, code, datetime.fromisoformat(since))
            for disease, model, version, code, since in rows
        ]

    async def _is_in_state(self, disease: str, model: str, version: int, state: str) -> bool:
        sql = "SELECT 1 FROM release WHERE disease = ? AND model = ? AND version = ? AND state = ?"
        return bool(await self._rows(sql, (disease, model, version, state)))

    async def _exchange(self, disease: str, model: str) -> None:
        """Make the previous version of a model the active one and the other way round, if it has both."""
        key = (disease, model)
        rows = await self._rows("SELECT state, number FROM release WHERE disease = ? AND model = ?", key)
        number = dict(rows)
        if len(number) == 2:
            # A state may stand once only: under a name that no model has, the previous version passes the active one.
            sql = "UPDATE release SET state = ?, model = ? WHERE number = ?"
            await self._run(sql, ("active", f"{model}/", number["previous"]))
            await self._run(sql, ("previous", model, number["active"]))
            await self._run(sql, ("active", model, number["previous"]))

    async def remove(self, disease: str, model: str) -> None:
        """Forget both versions of a model."""
        async with self._transaction():
            await self._run("DELETE FROM release WHERE disease = ? AND model = ?", (disease, model))

    async def needed(self) -> set[str]:
        """Digests of every artifact that an installed release needs."""
        return {row[0] for row in await self._rows("SELECT DISTINCT sha256 FROM need")}

    async def stamp(self, sha256: str) -> Stamp | None:
        """When the file of an artifact was last verified."""
        rows = await self._rows("SELECT size, mtime_ns FROM stamp WHERE sha256 = ?", (sha256,))
        return Stamp(*rows[0]) if rows else None

    async def set_stamp(self, sha256: str, stamp: Stamp | None) -> None:
        """Note that a file was just verified, or (None) that it is gone."""
        async with self._transaction():
            await self._run("DELETE FROM stamp WHERE sha256 = ?", (sha256,))
            if stamp is not None:
                await self._run("INSERT INTO stamp VALUES (?, ?, ?)", (sha256, stamp.size_bytes, stamp.mtime_ns))

    async def note(self, key: str) -> str | None:
        """A remembered word about the node."""
        rows = await self._rows("SELECT value FROM note WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    async def set_note(self, key: str, value: str) -> None:
        """Remember a word about the node."""
        async with self._transaction():
            await self._run("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    async def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with _translated(self._path):
            return list(await self._connection.execute_fetchall(sql, values))

    async def _run(self, sql: str, values: Sequence[Any]) -> int:
        cursor = await self._connection.execute(sql, values)
        number = cursor.lastrowid
        await cursor.close()
        return number or 0

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with _translated(self._path):
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                await self._connection.execute("ROLLBACK")
                raise
            await self._connection.execute("COMMIT")

    async def _migrate(self) -> None:
        version = await self._pragma("user_version")
        if version == len(MIGRATIONS) and await self._pragma("application_id") == APPLICATION_ID:
            return
        async with self._transaction():
            version = await self._pragma("user_version")  # another process may have been faster
            if version > len(MIGRATIONS):
                raise EdgeError("edge.index_newer", path=self._path, found=version, known=len(MIGRATIONS))
            if version and await self._pragma("application_id") != APPLICATION_ID:
                raise EdgeError("edge.index_damaged", path=self._path)
            for number, statements in enumerate(MIGRATIONS[version:], version + 1):
                for statement in statements:
                    await self._connection.execute(statement)
                await self._connection.execute(f"PRAGMA user_version = {number}")
            await self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    async def _pragma(self, name: str) -> int:
        return int((await self._rows(f"PRAGMA {name}"))[0][0])


def _first_and_rest(files: str) -> tuple[Artifact, tuple[Artifact, ...]]:
    first, *rest = (Artifact.from_document(document) for document in json.loads(files))
    return first, tuple(rest)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's faults into failures that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise EdgeError("storage.full", path=path) from error
        if "readonly" in text or "unable to open" in text:
            raise EdgeError("storage.not_writable", path=path) from error
        if "locked" in text:
            raise EdgeError("edge.busy") from error
        if "not a database" in text or "malformed" in text:
            raise EdgeError("edge.index_damaged", path=path) from error
        raise
