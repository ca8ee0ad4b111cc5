"""What works without any network: cache, models, knowledge, quarantine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from edge_node.bootstrap.home import Home
from edge_node.bootstrap.parts import LocalCache, utc_now
from edge_node.errors import EdgeError, NotEnrolledError

if TYPE_CHECKING:
    from edge_node.cache.artifacts import ArtifactCache
    from edge_node.cache.evictor import Evictor
    from edge_node.cache.quarantine import Quarantine
    from edge_node.cache.store import CacheStore
    from edge_node.capture.guarded import GuardedSuggestions
    from edge_node.federation.sources import Copies
    from edge_node.knowledge.replica import ReplicaKnowledge
    from edge_node.outbox.history import History
    from edge_node.outbox.outbox import Outbox
    from edge_node.trust.standing import Standing
    from edge_node.worker.models import Models


class Local(Home):
    """What works without any network: cache, models, knowledge, quarantine."""

    @asynccontextmanager
    async def local(self) -> AsyncIterator[LocalCache]:
        """The cache; works without any network."""
        from edge_node.cache.artifacts import ArtifactCache

        async with self.index() as store:
            artifacts = ArtifactCache(self.paths.cache, store)
            models = self._models(artifacts)
            try:
                yield LocalCache(store, artifacts, models)
            finally:
                await asyncio.to_thread(models.close)

    def _models(self, artifacts: ArtifactCache) -> Models:
        if not self.config.isolate:
            from edge_node.worker.models import LocalModels
            from protocols.pipeline import Pipelines

            return LocalModels(Pipelines(artifacts.path, self.config.threads))
        from edge_node.worker.client import WorkerLimits, WorkerModels

        limits = WorkerLimits(self.config.threads, self.config.worker_memory_mb, self.config.worker_timeout_s)
        return WorkerModels(artifacts.path, limits)

    def evictor(self, local: LocalCache) -> Evictor:
        """What keeps the cache within its quota; used under ``lock``."""
        from edge_node.cache.evictor import Evictor
        from edge_node.knowledge.replica import DIGEST_NOTE

        return Evictor(
            local.store,
            local.artifacts,
            lambda: local.store.note(DIGEST_NOTE),
            lambda: self._read_config().cache_quota_mb * 1_000_000,
        )

    def replica(self) -> ReplicaKnowledge:
        """The replica of the knowledge base."""
        from edge_node.knowledge.replica import ReplicaKnowledge

        return ReplicaKnowledge(self.paths.knowledge)

    def quarantine(self, local: LocalCache) -> Quarantine:
        """Which releases must not run here."""
        from edge_node.cache.quarantine import Quarantine

        try:
            coordinator = self.identity().anchor.coordinator
        except NotEnrolledError:
            coordinator = None
        return Quarantine(local.store, local.artifacts, coordinator, utc_now)

    async def standing(self, store: CacheStore) -> Standing:
        """How current this node is and what is revoked, without asking anyone."""
        from edge_node.trust.standing import standing

        try:
            anchor = self.identity().anchor
        except NotEnrolledError:
            return standing(None, None, utc_now())
        return standing(anchor, await store.trust(anchor.coordinator), utc_now())

    def suggestions(self, local: LocalCache) -> GuardedSuggestions:
        """Regions to show the installed models; these judge them where all models run."""
        from edge_node.capture.guarded import GuardedSuggestions
        from edge_node.capture.novelty import ModelNovelty
        from edge_node.capture.service import CropSuggestions

        suggestions = CropSuggestions(ModelNovelty(local.models), local.artifacts.path)
        return GuardedSuggestions(suggestions, self.quarantine(local))

    def outbox(self) -> Outbox:
        """The history of results and what of it waits to be sent."""
        from edge_node.cache.lock import exclusive
        from edge_node.health.tally import ReleaseTally
        from edge_node.outbox.keys import KeyFile, SystemKeystore
        from edge_node.outbox.outbox import Outbox
        from edge_node.outbox.unlock import KEY_FILE, KEYSTORE

        return Outbox(
            self.paths.outbox,
            {KEYSTORE: SystemKeystore(), KEY_FILE: KeyFile(self.paths.outbox_key)},
            lambda: exclusive(self.paths.outbox_lock),
            self._coordinator,
            new_key_in=(KEYSTORE, KEY_FILE) if self.config.history_key == "auto" else (KEY_FILE,),
            most_waiting=self.config.outbox_most,
            most_picture_bytes=self.config.pictures_mb * 1_000_000,
            keep_days=self.config.history_days,
            clock=utc_now,
            count=lambda size_bytes: self.traffic.count("outbox", size_bytes),
            tally=ReleaseTally(self.index),
        )

    def history(self, *, create: bool = False) -> AbstractAsyncContextManager[History]:
        """The history of results, opened with its key; with ``create``, as for saving, made where there is none.

        Raises:
            EdgeError: ``outbox.empty``: nothing was ever saved; ``outbox.*`` or ``storage.*``: it cannot be opened.
        """
        return self.outbox().history(create=create)

    @asynccontextmanager
    async def copies(self) -> AsyncIterator[Copies]:
        """The history's sealed copies of pictures; none where it is not there or cannot be opened now."""
        from edge_node.federation.sources import NoCopies

        async with AsyncExitStack() as stack:
            found: Copies = NoCopies()
            with suppress(EdgeError):
                found = (await stack.enter_async_context(self.history())).pictures
            yield found
