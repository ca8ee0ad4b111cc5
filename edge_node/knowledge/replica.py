"""The replica of the knowledge base on this machine: replaced as a whole, and only when its bytes changed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from disease_kb import replica as replica_format
from disease_kb.diagnosis import diagnosis_aid
from disease_kb.store import KnowledgeBase
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError
from edge_node.knowledge.lookup import Answer
from edge_node.trust.catalogue import KnowledgeReference
from protocols.artifacts import Artifact
from protocols.errors import MedMeshError

DIGEST_NOTE = "kb_sha256"


class Fetcher(Protocol):
    """Brings artifacts onto the shelf."""

    async def fetch(self, artifact: Artifact) -> bool:
        """Make sure that it is there."""
        ...


class ReplicaKnowledge:
    """The replica, for reading."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def lookup(self, ids: Collection[str]) -> Answer | None:
        """Look up entries; None where the node has no replica."""
        if not self._path.exists():
            return None
        async with await KnowledgeBase.open(self._path) as knowledge:
            found = {entry_id: await knowledge.get(entry_id) for entry_id in sorted(ids)}
            version = await knowledge.version()
        return Answer("replica", version, {key: diagnosis_aid(entry) for key, entry in found.items() if entry})

    async def open(self) -> KnowledgeBase:
        """The knowledge base for searching.

        Raises:
            EdgeError: ``edge.replica_absent``.
        """
        if not self._path.exists():
            raise EdgeError("edge.replica_absent")
        return await KnowledgeBase.open(self._path)


class ReplicaUpdater:
    """Keeps the replica as new as the catalogue. The caller holds the node's lock."""

    def __init__(self, path: Path, store: CacheStore, cache: ArtifactCache, fetcher: Fetcher) -> None:
        self._path = path
        self._store = store
        self._cache = cache
        self._fetcher = fetcher

    async def update(self, published: KnowledgeReference | None) -> bool:
        """Fetch and take over the published replica; returns whether anything changed. A failure changes nothing.

        Raises:
            SourceError: it could not be fetched.
            KnowledgeBaseError: it is not a replica, or damaged.
        """
        if published is None or await self.is_current(published):
            return False
        if not await self._patched(published):
            await self._fetcher.fetch(published.artifact)
        data = self._cache.path(published.artifact.sha256).read_bytes()
        entries = await asyncio.to_thread(replica_format.read, data)
        async with await KnowledgeBase.open(self._path) as knowledge:
            await knowledge.replace_all(entries)
        await self._store.set_note(DIGEST_NOTE, published.artifact.sha256)
        return True

    async def bytes_needed(self, published: KnowledgeReference | None) -> int:
        """How much ``update`` would have to fetch."""
        if published is None or await self.is_current(published):
            return 0
        patch = published.patches.get(await self.base() or "")
        whole = self._cache.bytes_needed([published.artifact])
        return whole if patch is None else min(whole, self._cache.bytes_needed([patch]))

    async def base(self) -> str | None:
        """The digest of the replica in use, whose file the next patch starts from."""
        return await self._store.note(DIGEST_NOTE)

    async def _patched(self, published: KnowledgeReference) -> bool:
        """Make the published file from the one in use and a patch; False where that cannot be done."""
        base = await self.base()
        patch = published.patches.get(base or "")
        if base is None or patch is None or self._cache.held_bytes(published.artifact):
            return False
        try:
            old = self._cache.path(base).read_bytes()
            await self._fetcher.fetch(patch)
            change = self._cache.path(patch.sha256).read_bytes()
            data = await asyncio.to_thread(replica_format.apply_patch, old, change)
            with self._cache.partial(published.artifact) as partial:
                partial.append(data)
                await self._cache.accept(published.artifact, partial)
        except (OSError, MedMeshError):  # whatever is wrong with a patch, the whole file does not need it
            return False
        return True

    async def is_current(self, published: KnowledgeReference) -> bool:
        """Whether the replica here is the published one."""
        return self._path.exists() and await self._store.note(DIGEST_NOTE) == published.artifact.sha256
