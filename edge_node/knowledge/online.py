"""The coordinator's knowledge base, asked entry by entry. Only entry ids leave the node."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from edge_node.errors import SourceError
from edge_node.knowledge.lookup import Answer, is_diagnosis_aid


class EntryOrigin(Protocol):
    """One address of the coordinator."""

    url: str

    async def knowledge_entry(self, entry_id: str) -> dict[str, Any] | None:
        """``{"kb_version", "entry"}``; None where there is no such entry."""
        ...


class CoordinatorKnowledge:
    """Asks the first address that answers; the connection is opened only when there is something to ask."""

    def __init__(self, connect: Any) -> None:
        """Args: connect: gives a context manager that yields the ``EntryOrigin`` addresses."""
        self._connect = connect

    async def lookup(self, ids: Collection[str]) -> Answer | None:
        """Look up entries; where there is nothing to ask or nothing known of it, the replica may know more."""
        if not ids:
            return None
        connection: AbstractAsyncContextManager[list[EntryOrigin]] = self._connect()
        async with connection as origins:
            for origin in origins:
                try:
                    answer = await _ask(origin, ids)
                except SourceError:
                    continue
                return answer if answer.entries else None
        return None


async def _ask(origin: EntryOrigin, ids: Collection[str]) -> Answer:
    wanted = sorted(ids)
    found = await asyncio.gather(*(origin.knowledge_entry(entry_id) for entry_id in wanted))
    entries: dict[str, dict[str, Any]] = {}
    version: str | None = None
    for entry_id, document in zip(wanted, found, strict=True):
        if document is None:
            continue
        version = document.get("kb_version")
        entry = document.get("entry")
        if not isinstance(version, str) or not isinstance(entry, dict) or not is_diagnosis_aid(entry, entry_id):
            raise SourceError("edge.coordinator_malformed", url=origin.url)
        entries[entry_id] = entry
    return Answer("coordinator", version, entries)
