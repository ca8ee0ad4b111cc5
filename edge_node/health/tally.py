"""Counting results and clinicians' words by release: never at the cost of what was just saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from edge_node.cache.health import Key
from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError
from protocols.results.report import OUTCOMES


class ReleaseTally:
    """Counts in the index of the cache; where that cannot be written, a count is lost and nothing else."""

    def __init__(self, index: Callable[[], AbstractAsyncContextManager[CacheStore]]) -> None:
        self._index = index

    async def saved(self, results: Sequence[dict[str, Any]]) -> None:
        """Results are on the disk."""
        counted = [(_key(result), result["outcome"]) for result in results if result["outcome"] in OUTCOMES]
        with suppress(EdgeError, sqlite3.Error, OSError):
            async with self._index() as store:
                await store.count_outcomes(counted)

    async def confirmed(self, result: dict[str, Any], before: str | None, label: str) -> None:
        """The clinician's word on one is on the disk; ``before``: the one that it replaces."""
        likeliest = result["labels"][0]["label"]
        agreed = int(label == likeliest) - int(before == likeliest)
        with suppress(EdgeError, sqlite3.Error, OSError):
            async with self._index() as store:
                await store.count_word(_key(result), int(before is None), agreed)


def _key(result: dict[str, Any]) -> Key:
    release = result["release"]
    return result["disease"], release["model"], int(release["version"])
