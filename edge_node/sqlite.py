"""An SQLite file whose every change is one durable transaction: WAL, ``synchronous=FULL``, ``BEGIN IMMEDIATE``."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiosqlite

from edge_node.errors import EdgeError

_BUSY_TIMEOUT_MS = 15_000
_LOG_PAGES = 100  # of 4 kB: small disks are common, and each commit waits for the disk anyway


@dataclass(frozen=True)
class Schema:
    """What a file of one kind holds, and the failures to raise where it does not.

    Attributes:
        application_id: marks the file as one of this kind.
        migrations: statements by schema version; appended, never edited.
        damaged: makes the failure for a file that is damaged or of another kind.
        newer: makes the failure for a file of a later version, from the version found and the one known.
        busy: makes the failure for a file that another program holds too long.
    """

    application_id: int
    migrations: tuple[tuple[str, ...], ...]
    damaged: Callable[[Path], EdgeError]
    newer: Callable[[Path, int, int], EdgeError]
    busy: Callable[[], EdgeError]


class SqliteFile:
    """An open file."""

    def __init__(self, path: Path, connection: aiosqlite.Connection, schema: Schema) -> None:
        self.path = path
        self._connection = connection
        self._schema = schema

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, schema: Schema) -> AsyncIterator[SqliteFile]:
        """Open or create the file; only its owner may read it.

        Raises:
            EdgeError: the schema's own failures, or ``storage.*``.
        """
        with _translated(path, schema):
            _make(path)
            connection = await aiosqlite.connect(path, isolation_level=None)
        try:
            file = cls(path, connection, schema)
            with _translated(path, schema):
                await connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
                if await file._pragma("page_count") == 0:  # a new file, the only one in which this counts
                    await connection.execute("PRAGMA auto_vacuum = FULL")  # room goes back to the disk
                await connection.execute("PRAGMA journal_mode = WAL")
                await connection.execute("PRAGMA synchronous = FULL")
                await connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
                await connection.execute("PRAGMA foreign_keys = ON")
                await connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten
                await file._migrate()
            yield file
        finally:
            await connection.close()

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with _translated(self.path, self._schema):
            return list(await self._connection.execute_fetchall(sql, values))

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement within ``transaction``; returns how many rows it changed."""
        cursor = await self._connection.execute(sql, values)
        changed = cursor.rowcount
        await cursor.close()
        return changed

    async def run_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of ``values`` within ``transaction``."""
        cursor = await self._connection.executemany(sql, values)
        await cursor.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All that is done within is on the disk when the block is left, or nothing of it."""
        with _translated(self.path, self._schema):
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                await self._connection.execute("COMMIT")
            except BaseException:
                with suppress(
                    sqlite3.OperationalError
                ):  # on some faults, such as a full disk, SQLite has done so itself
                    await self._connection.execute("ROLLBACK")
                raise

    async def empty_log(self) -> None:
        """Empty the log, which may still hold what was deleted, if it can be now."""
        with suppress(EdgeError):
            await self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    async def _migrate(self) -> None:
        schema = self._schema
        version = await self._pragma("user_version")
        if version == len(schema.migrations) and await self._pragma("application_id") == schema.application_id:
            return
        async with self.transaction():
            version = await self._pragma("user_version")  # another process may have been faster
            if version > len(schema.migrations):
                raise schema.newer(self.path, version, len(schema.migrations))
            if version and await self._pragma("application_id") != schema.application_id:
                raise schema.damaged(self.path)
            for number, statements in enumerate(schema.migrations[version:], version + 1):
                for statement in statements:
                    await self.run(statement)
                await self.run(f"PRAGMA user_version = {number}")
            await self.run(f"PRAGMA application_id = {schema.application_id}")

    async def _pragma(self, name: str) -> int:
        return int((await self.rows(f"PRAGMA {name}"))[0][0])


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@contextmanager
def _translated(path: Path, schema: Schema) -> Iterator[None]:
    """Turn SQLite's faults, and those of making the file, into failures that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        _raise(error, path, schema)
    except OSError as error:
        raise os_failure(error, path) from error


def os_failure(error: OSError, path: Path) -> Exception:
    """What a fault of the file system means to a person; one that means nothing stays as it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EdgeError("storage.full", path=path)
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return EdgeError("storage.not_writable", path=path)
    return error


def _raise(error: sqlite3.Error, path: Path, schema: Schema) -> NoReturn:
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE"):
        raise EdgeError("storage.full", path=path) from error
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        raise EdgeError("storage.not_writable", path=path) from error
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        raise schema.busy() from error
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR")):
        raise schema.damaged(path) from error
    raise error
