"""The index of the cache: an SQLite file, and all that stands in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge_node.cache.acceptance import Acceptances, Decision
from edge_node.cache.bytes_used import BytesUsed
from edge_node.cache.events import Event, Events
from edge_node.cache.notes import Notes, Stamp
from edge_node.cache.releases import Floor, InstalledRelease, Quarantined
from edge_node.cache.schema import APPLICATION_ID, MIGRATIONS
from edge_node.cache.use import Use
from edge_node.cache.verified import Verified
from edge_node.errors import EdgeError
from edge_node.sqlite import Schema, SqliteFile

__all__ = ["CacheStore", "Decision", "Event", "Floor", "InstalledRelease", "Quarantined", "Stamp"]

_SCHEMA = Schema(
    APPLICATION_ID,
    MIGRATIONS,
    damaged=lambda path: EdgeError("edge.index_damaged", path=path),
    newer=lambda path, found, known: EdgeError("edge.index_newer", path=path, found=found, known=known),
    busy=lambda: EdgeError("edge.busy"),
)


class CacheStore(Acceptances, Verified, Use, BytesUsed, Events, Notes):
    """An open index. Each kind of thing in it has a class of its own."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[CacheStore]:
        """Open or create the index.

        Raises:
            EdgeError: ``edge.index_damaged``, ``edge.index_newer`` or ``storage.*``.
        """
        async with SqliteFile.open(path, _SCHEMA) as file:
            yield cls(file)
