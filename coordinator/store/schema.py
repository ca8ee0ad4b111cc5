"""Which version the tables have, and bringing them to this program's.

Migrations are Alembic's, numbered ``0001_…py`` upwards in ``migrations/versions``; the number is the revision. Alembic itself is
loaded only where there is something to upgrade.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, inspect, select, text

from coordinator.errors import CoordinatorError
from coordinator.store.tables import metadata

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x4D4D5343  # "MMSC": PostgreSQL's advisory lock on the schema


@cache
def revisions() -> tuple[str, ...]:
    """All revisions of this program, oldest first."""
    return tuple(sorted(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def head() -> str:
    """The revision that this program needs."""
    return revisions()[-1]


def revision(connection: Connection) -> str | None:
    """The database's revision; None: an empty database, or one from before there were revisions."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def upgrade(connection: Connection) -> None:
    """Make the tables, or upgrade them, within the caller's transaction; whoever comes second finds it done.

    A copy of an SQLite file is put beside it before anything changes.

    Raises:
        CoordinatorError: ``storage.newer``, ``storage.full``.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    found = revision(connection)
    if found == head():
        return
    if found is not None and found not in revisions():
        raise CoordinatorError("storage.newer", found=found, known=head())
    if found is None and not inspect(connection).has_table("datasets"):
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": head()})
        return
    if connection.dialect.name == "sqlite" and connection.engine.url.database not in (None, "", ":memory:"):
        _copy(Path(str(connection.engine.url.database)), found)
    _migrate(connection)
    if connection.dialect.name == "sqlite" and (broken := connection.execute(text("PRAGMA foreign_key_check")).all()):
        raise RuntimeError(f"the upgrade left {len(broken)} rows without what they refer to")


def _migrate(connection: Connection) -> None:
    from alembic import command  # a tenth of a second, which every command would pay

    command.upgrade(configuration(connection), "head")


def configuration(connection: Connection | None = None) -> Any:
    """Alembic's settings for our migrations, on a connection whose transaction is ours."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _copy(path: Path, found: str | None) -> None:
    """Keep the file as it is now. The caller holds the write lock, so that nothing is added meanwhile."""
    kept = path.with_name(f"{path.name}.{found or 'before-0001'}.bak")
    part = kept.with_suffix(".part")
    try:
        if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:  # the copy, and what the upgrade writes
            raise CoordinatorError("storage.full", path=path.parent)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(kept)
    except sqlite3.OperationalError as error:
        raise CoordinatorError("storage.full", path=path.parent) from error
    finally:
        part.unlink(missing_ok=True)
