"""Opening the knowledge base's SQLite file: durability settings, migrations, and faults in this package's own words."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiosqlite

from disease_kb.errors import KnowledgeBaseError, StoreError
from disease_kb.schema import APPLICATION_ID, MIGRATIONS

BUSY_TIMEOUT_MS = 15_000


async def connect(path: Path) -> aiosqlite.Connection:
    """Open the database, creating or migrating it as needed.

    Raises:
        StoreError: the file is damaged, of another kind, or written by a newer version.
        KnowledgeBaseError: the disk is full or the folder is not writable.
    """
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        with translated(path):
            await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            await connection.execute("PRAGMA foreign_keys = ON")
            await _check_kind(connection, path)
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA synchronous = FULL")
            await _migrate(connection, path)
    except BaseException:
        await connection.close()
        raise
    return connection


@asynccontextmanager
async def transaction(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Write atomically on a connection of its own: readers see all of it or nothing."""
    connection = await connect(path)
    try:
        with translated(path):
            await connection.execute("BEGIN IMMEDIATE")
            yield connection
            await connection.execute("COMMIT")
    finally:
        await connection.close()  # an open transaction is rolled back


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's faults into failures that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise KnowledgeBaseError("storage.full", path=path) from error
        if "readonly" in text or "unable to open" in text:
            raise KnowledgeBaseError("storage.not_writable", path=path) from error
        if isinstance(error, sqlite3.OperationalError) and "locked" in text:
            raise StoreError("kb.store.busy", path=path) from error
        if isinstance(error, sqlite3.DatabaseError) and ("not a database" in text or "malformed" in text):
            raise StoreError("kb.store.damaged", path=path) from error
        raise


async def _check_kind(connection: aiosqlite.Connection, path: Path) -> None:
    application = await _pragma(connection, "application_id")
    tables = await connection.execute_fetchall("SELECT count(*) FROM sqlite_master")
    if application != APPLICATION_ID and next(iter(tables))[0]:
        raise StoreError("kb.store.foreign", path=path)
    version = await _pragma(connection, "user_version")
    if version > len(MIGRATIONS):
        raise StoreError("kb.store.newer", path=path, found=version, known=len(MIGRATIONS))


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    if await _pragma(connection, "user_version") == len(MIGRATIONS):
        return
    await connection.execute("BEGIN IMMEDIATE")
    version = await _pragma(connection, "user_version")  # another process may have been faster
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        for statement in _statements(script):
            await connection.execute(statement)
        await connection.execute(f"PRAGMA user_version = {number}")
    await connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    await connection.execute("COMMIT")


async def _pragma(connection: aiosqlite.Connection, name: str) -> int:
    rows = await connection.execute_fetchall(f"PRAGMA {name}")
    return int(next(iter(rows))[0])


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def set_aside(path: Path) -> Path | None:
    """Rename a database and its journals, so that a new one can take their place; returns the new name."""
    if not path.exists():
        return None
    number = next(n for n in itertools.count(1) if not path.with_name(f"{path.name}.aside-{n}").exists())
    for ending in ("-wal", "-shm", ""):  # the journals first: without its name the database would lose them
        journal = path.with_name(path.name + ending)
        if journal.exists():
            journal.rename(path.with_name(f"{path.name}.aside-{number}{ending}"))
    return path.with_name(f"{path.name}.aside-{number}")
