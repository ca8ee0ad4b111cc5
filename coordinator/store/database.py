"""Opening the database and running short transactions."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from coordinator.errors import CoordinatorError
from coordinator.store import schema
from protocols.audit import Head

_log = logging.getLogger("medmesh.store")
_READS = "medmesh_reads"
_LOG_S = 5.0  # to wait for another process that turns on the write-ahead log
RECORDED: Final = "medmesh_recorded"  # in a connection's info: the audit head that its transaction makes
_AGAIN: Final = frozenset(
    {"40001", "40P01", "55P03"}
)  # PostgreSQL: serialization failure, deadlock, lock not available


class Database:
    """The coordinator's rows. Every ``begin`` is one transaction: all of it or nothing."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.on_recorded: Callable[[Head], None] | None = None  # told, in a thread, after an act was committed

    @classmethod
    def connect(cls, url: str) -> Database:
        """Prepare a database by URL: ``sqlite+aiosqlite:///path`` or ``postgresql://user@host/name``.

        Raises:
            CoordinatorError: ``storage.bad_url``, or ``storage.no_driver`` where the extra for it is not installed.
        """
        try:
            parsed = make_url(url)
            if parsed.drivername in ("postgresql", "postgres"):
                parsed = parsed.set(drivername="postgresql+asyncpg")
            # Parameters are what people sent: they have no business in an error's text, and so in a log.
            engine = create_async_engine(parsed, hide_parameters=True)
        except ModuleNotFoundError as error:
            raise CoordinatorError("storage.no_driver", driver=parsed.drivername) from error
        except (ArgumentError, ValueError) as error:
            raise CoordinatorError("storage.bad_url") from error
        if engine.dialect.name == "sqlite":
            _listen(engine, foreign_keys=True)
        return cls(engine)

    async def create(self) -> None:
        """Bring the tables to this version: make them, or upgrade those of an earlier one.

        Raises:
            CoordinatorError: ``storage.newer`` where a later version has been here, ``storage.unreachable``, ``storage.full``.
        """
        async with self.read() as connection:
            found = await connection.run_sync(schema.revision)
        if found == schema.head():  # the common case takes one query, and no look at the tables
            return
        upgrading = create_async_engine(self._engine.url, hide_parameters=True)
        if upgrading.dialect.name == "sqlite":
            # A table that is rebuilt is dropped, and would take with it the rows that refer to it.
            _listen(upgrading, foreign_keys=False)
        try:
            with _telling_busy():
                async with upgrading.begin() as connection:
                    await connection.run_sync(schema.upgrade)
        finally:
            await upgrading.dispose()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that may write.

        Raises:
            CoordinatorError: ``storage.busy`` where another program holds the database too long, ``storage.full``,
                ``storage.unreachable``.
        """
        with _telling_busy():
            async with self._connected() as connection:
                connection.info.pop(RECORDED, None)
                async with connection.begin():
                    yield connection
                recorded = connection.info.pop(RECORDED, None)
        if recorded is not None and self.on_recorded is not None:
            try:
                await asyncio.to_thread(self.on_recorded, recorded)
            except (OSError, CoordinatorError) as error:  # the act is done; the next one signs the head
                _log.error("the audit trail's head could not be signed: %s", type(error).__name__)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that only reads, and waits for no writer."""
        with _telling_busy():
            async with self._connected() as plain:
                connection = await plain.execution_options(**{_READS: True})
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        try:
            connection = await self._engine.connect()
        except OSError as error:
            raise CoordinatorError("storage.unreachable") from error
        except DBAPIError as error:
            if self._engine.dialect.name == "sqlite":
                raise
            raise CoordinatorError("storage.unreachable") from error
        try:
            yield connection
        finally:
            await asyncio.shield(connection.close())


@contextmanager
def _telling_busy() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _AGAIN or (isinstance(error, OperationalError) and "locked" in str(error.orig)):
            raise CoordinatorError("storage.busy") from error
        if state == "53100" or (isinstance(error, OperationalError) and "disk is full" in str(error.orig)):
            raise CoordinatorError("storage.full", path="database") from error
        if error.connection_invalidated:
            raise CoordinatorError("storage.unreachable") from error
        raise


def _listen(engine: AsyncEngine, *, foreign_keys: bool) -> None:
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late for IMMEDIATE
        cursor = connection.cursor()
        keys = f"foreign_keys={'ON' if foreign_keys else 'OFF'}"
        for pragma in ("busy_timeout=30000", "synchronous=FULL", keys):
            cursor.execute(f"PRAGMA {pragma}")
        _log_ahead(cursor)
        cursor.close()

    event.listen(engine.sync_engine, "connect", configure)
    event.listen(engine.sync_engine, "begin", _begin)


def _log_ahead(cursor: Any) -> None:
    """Turn the write-ahead log on; SQLite does not wait where somebody else is turning it on at this moment."""
    until = time.monotonic() + _LOG_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        await_only(asyncio.sleep(0.01))


def _begin(connection: Any) -> None:
    # Read-then-write under a plain BEGIN fails as busy as soon as two processes do it.
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
