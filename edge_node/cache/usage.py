"""Noting which releases are used, for eviction: at most once an hour each, and never at the cost of a recognition."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta

from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError
from protocols.clock import Clock

_NOTE_EVERY = timedelta(hours=1)


class Usage:
    """Remembers the last recognition with each release."""

    def __init__(self, store: CacheStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def note(self, releases: Collection[tuple[str, str, int]]) -> None:
        """These, (disease, model, version), were just used."""
        now = self._clock()
        with suppress(EdgeError, sqlite3.Error, OSError):
            known = await self._store.last_used()
            due = [r for r in releases if r not in known or not now - _NOTE_EVERY < known[r] <= now]
            if due:
                await self._store.set_last_used(due, now)
