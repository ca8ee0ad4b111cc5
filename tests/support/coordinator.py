"""A coordinator's database with enrolled nodes, without keys or releases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import update

from coordinator.store.database import Database
from coordinator.store.tables import nodes

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def database(folder: Path, *enrolled: str) -> AsyncIterator[Database]:
    """An open database in which ``enrolled`` have joined."""
    opened = Database.connect(f"sqlite+aiosqlite:///{folder}/coordinator.sqlite")
    try:
        await opened.create()
        for node in enrolled:
            await enrol(opened, node)
        yield opened
    finally:
        await opened.close()


async def enrol(opened: Database, node: str, certificate_sha256: str = "", site: str | None = None) -> None:
    async with opened.begin() as connection:
        await connection.execute(
            nodes.insert().values(
                id=node,
                name=node,
                site=f"site of {node}" if site is None else site,
                groups=[],
                certificate_sha256=certificate_sha256 or node,
                public_key="",
                enrolled=NOW.isoformat(),
            )
        )


async def revoke(opened: Database, node: str) -> None:
    async with opened.begin() as connection:
        await connection.execute(update(nodes).where(nodes.c.id == node).values(revoked=True))
