"""Readers wait for no writer, and a database that stays busy is a sentence with a code."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from coordinator.errors import CoordinatorError
from coordinator.store.database import Database, _telling_busy
from coordinator.store.tables import datasets


async def test_reading_goes_on_while_another_program_writes(tmp_path: Path) -> None:
    database = Database.connect(f"sqlite+aiosqlite:///{tmp_path}/x.sqlite")
    await database.create()
    with closing(sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        async with database.read() as connection:
            assert (await connection.execute(select(datasets))).all() == []
        writer.execute("ROLLBACK")
    await database.close()


def test_busy_database_is_unreachable_and_other_faults_are_not_hidden() -> None:
    with pytest.raises(CoordinatorError) as caught, _telling_busy():
        raise OperationalError("BEGIN", None, Exception("database is locked"))
    assert caught.value.code == "storage.busy" and caught.value.kind.exit_code == 6
    with pytest.raises(OperationalError), _telling_busy():
        raise OperationalError("SELECT", None, Exception("no such table"))
