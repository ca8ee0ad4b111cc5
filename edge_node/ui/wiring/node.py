"""The one open node behind all adapters, and what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge_node.bootstrap import Edge, LocalCache
from edge_node.ui.worker import Worker

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase
    from edge_node.capture.guarded import GuardedSuggestions
    from edge_node.trust.standing import Standing
    from edge_node.worker.guard import GuardedRecognition
    from protocols.manifest import ReleaseManifest

T = TypeVar("T")


class Node:
    """The open node that all adapters share. Its coroutines run on the worker only."""

    def __init__(self, home: Path) -> None:
        self.edge = Edge(home)
        self.folder = self.edge.paths.root / "ui"
        self._open = AsyncExitStack()
        self._local: LocalCache | None = None
        self._knowledge: KnowledgeBase | None = None
        self._recognition: GuardedRecognition | None = None
        self._suggestions: GuardedSuggestions | None = None
        self._opening = asyncio.Lock()

    async def local(self) -> LocalCache:
        """The cache; opened once."""
        async with self._opening:
            if self._local is None:
                self._local = await self._open.enter_async_context(self.edge.local())
            return self._local

    async def knowledge(self) -> KnowledgeBase:
        """The replica; opened once it is there.

        Raises:
            EdgeError: ``edge.replica_absent``.
        """
        async with self._opening:
            if self._knowledge is None:
                self._knowledge = await self._open.enter_async_context(await self.edge.replica().open())
            return self._knowledge

    async def standing(self) -> Standing:
        """How current this node is."""
        return await self.edge.standing((await self.local()).store)

    async def recognition(self) -> GuardedRecognition:
        """Recognition with the replica alone: an answer must not wait for a network."""
        local = await self.local()
        if self._recognition is None:
            self._recognition = self.edge.recognition(local, ask_coordinator=False)
        return self._recognition

    async def suggestions(self) -> GuardedSuggestions:
        """Regions to suggest."""
        local = await self.local()
        if self._suggestions is None:
            self._suggestions = self.edge.suggestions(local)
        return self._suggestions

    async def manifests(self, disease: str | None, model: str | None) -> list[ReleaseManifest]:
        """The releases to run, with every file that running them takes verified; revoked ones are left out.

        Raises:
            EdgeError: none is here, all are revoked, or a file is damaged.
        """
        from edge_node.cache.usable import usable_releases

        local, standing = await self.local(), await self.standing()
        return (await usable_releases(local.store, local.artifacts, standing.revoked, disease, model)).manifests

    async def close(self) -> None:
        """Close what was opened."""
        await self._open.aclose()


class Adapter:
    """An adapter's share of the worker and the node."""

    def __init__(self, worker: Worker, node: Node) -> None:
        self._worker = worker
        self._node = node

    async def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._worker.run(make)
