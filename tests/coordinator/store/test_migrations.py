"""Databases of earlier versions come to this one whole; of later ones, they are left alone."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from coordinator.errors import CoordinatorError
from coordinator.store import schema
from coordinator.store.database import Database
from coordinator.store.tables import metadata, nodes, releases, samples

OLD = (Path(__file__).parent / "schema_0001.sql").read_text("utf-8")  # of the last version without migrations
ROWS = """
INSERT INTO datasets VALUES (1, 'malaria', 'malaria', '2026-01-01', '[]');
INSERT INTO samples (id, dataset, sha256, label, "group", file) VALUES (7, 1, 'aa', 'uninfected', 'p1', 'x.png');
INSERT INTO releases VALUES ('malaria@1', 'malaria', 'bb', 'released', 100, '["canary"]', '', '', '[]', '2026-01-01');
INSERT INTO approvals VALUES ('malaria@1', 'key', 'sig', '2026-01-01');
INSERT INTO nodes VALUES ('n1', 'north', 'Clinic', '[]', 0, 'cc', 'pem', '2026-01-01', NULL);
"""


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def old(path: Path, statements: str = OLD + ROWS) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statements)
    return path


def copies(folder: Path) -> list[Path]:
    return list(folder.glob("*.bak"))


def difference(connection: Connection) -> list[object]:
    """What a migration is missing for."""
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def upgraded(path: Path) -> Database:
    database = Database.connect(url(path))
    try:
        await database.create()
    except BaseException:
        await database.close()
        raise
    return database


async def test_new_database_is_at_the_newest_revision(tmp_path: Path) -> None:
    database = await upgraded(tmp_path / "x.sqlite")
    async with database.read() as connection:
        assert await connection.run_sync(schema.revision) == schema.head()
        assert await connection.run_sync(difference) == []
    await database.close()
    assert copies(tmp_path) == []


async def test_upgrade_keeps_every_row_and_ends_at_what_the_tables_say(tmp_path: Path) -> None:
    """If this fails after a change of tables.py: a migration is missing. ``tools/new_migration.py`` writes it."""
    path = old(tmp_path / "x.sqlite")
    database = await upgraded(path)
    async with database.read() as connection:
        assert await connection.run_sync(difference) == []
        assert await connection.run_sync(schema.revision) == schema.head()
        assert (await connection.execute(select(samples.c.sha256, samples.c.group))).all() == [("aa", "p1")]
        assert (await connection.execute(select(releases.c.groups))).scalar_one() == ["canary"]
        assert (await connection.execute(select(nodes.c.name))).scalar_one() == "north"
    await database.close()
    with closing(sqlite3.connect(tmp_path / "x.sqlite.before-0001.bak")) as copy:
        assert copy.execute("SELECT count(*) FROM samples").fetchone() == (1,)
        assert copy.execute("SELECT count(*) FROM sqlite_master WHERE name = 'audit'").fetchone() == (0,)


async def test_database_that_has_only_some_of_the_old_tables_is_completed(tmp_path: Path) -> None:
    fewer = "".join(x for x in re.split(r"(?<=;)\n", OLD) if "federations" not in x and "confirmations" not in x)
    database = await upgraded(old(tmp_path / "x.sqlite", fewer))
    async with database.read() as connection:
        assert await connection.run_sync(difference) == []
    await database.close()


async def test_two_that_start_at_once_upgrade_once(tmp_path: Path) -> None:
    for name, make in (("old", True), ("new", False)):
        path = tmp_path / f"{name}.sqlite"
        if make:
            old(path)
        opened = await asyncio.gather(*(upgraded(path) for _ in range(4)))
        async with opened[0].read() as connection:
            assert await connection.run_sync(difference) == []
        for database in opened:
            await database.close()


async def test_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    await (await upgraded(path)).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(CoordinatorError) as caught:
        await upgraded(path)
    assert caught.value.code == "storage.newer" and "9999" in caught.value.message()
    assert path.read_bytes() == before


async def test_upgrade_that_fails_leaves_the_old_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old(tmp_path / "x.sqlite")
    migrate = schema._migrate

    def fail(connection: Connection) -> None:
        migrate(connection)
        raise RuntimeError("power cut")

    monkeypatch.setattr(schema, "_migrate", fail)
    with pytest.raises(RuntimeError):
        await upgraded(path)
    with closing(sqlite3.connect(path)) as database:
        names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "audit" not in names and "alembic_version" not in names and "samples" in names


async def test_without_room_for_the_copy_nothing_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old(tmp_path / "x.sqlite")
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr(schema.shutil, "disk_usage", lambda _: full)
    with pytest.raises(CoordinatorError) as caught:
        await upgraded(path)
    assert caught.value.code == "storage.full" and copies(tmp_path) == []


def test_opening_an_up_to_date_database_does_not_load_alembic(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom coordinator.store.database import Database\n"
        f"async def main():\n    database = Database.connect({url(tmp_path / 'x.sqlite')!r})\n"
        "    await database.create()\n    await database.close()\n"
        "asyncio.run(main()); assert 'alembic' not in sys.modules"
    )
    for _ in ("new", "again"):
        assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("given", ["", "nonsense", "sqlite+nothing:///x", "postgresql+psycopg://h/n"])
def test_url_of_no_database_is_refused_with_a_code(given: str) -> None:
    with pytest.raises(CoordinatorError) as caught:
        Database.connect(given)
    assert caught.value.code in ("storage.bad_url", "storage.no_driver")
