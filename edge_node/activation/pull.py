"""``pull``: from a disease's name to a model in use, and the replica beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from edge_node.activation.installer import Installer
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.choice import choose
from edge_node.cache.store import CacheStore
from edge_node.knowledge.replica import ReplicaUpdater
from edge_node.transfer.catalogue import CatalogueRelease
from edge_node.transfer.feed import CatalogueFeed, Snapshot
from edge_node.transfer.fetcher import Progress
from protocols.errors import MedMeshError


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        release: the release that is in use now.
        already_cached: nothing of it had to be fetched.
        knowledge_updated: a new replica of the knowledge base came along.
        knowledge_failure: why the replica could not be brought up to date; the model is in use all the same.
    """

    release: CatalogueRelease
    already_cached: bool
    knowledge_updated: bool
    knowledge_failure: MedMeshError | None


class Puller:
    """Brings listed releases into use, one process at a time."""

    def __init__(
        self,
        feed: CatalogueFeed,
        store: CacheStore,
        cache: ArtifactCache,
        installer: Installer,
        replica: ReplicaUpdater,
        lock: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._feed = feed
        self._store = store
        self._cache = cache
        self._installer = installer
        self._replica = replica
        self._lock = lock

    async def refresh(self) -> Snapshot:
        """Fetch the list.

        Raises:
            EdgeError: it is not to be had.
        """
        return await self._feed.refresh()

    def choose(self, snapshot: Snapshot, disease: str, model: str | None) -> CatalogueRelease:
        """The newest listed release of ``disease``, or the one that ``model`` (``model`` or ``model@version``) names.

        Raises:
            EdgeError: not in the list, or several models to choose from.
        """
        newest_first = sorted(snapshot.catalogue.releases, key=lambda release: -release.version)
        return choose(newest_first, disease, model)

    async def pull(self, snapshot: Snapshot, release: CatalogueRelease, progress: Progress) -> Pulled:
        """Bring ``release`` into use, and the replica of the knowledge base up to date.

        Args:
            snapshot: the list that the release is from.
            release: from ``choose``.
            progress: called with the number of bytes that just arrived.

        Raises:
            EdgeError: refused, or not to be had; what was in use before still is.
        """
        async with self._lock():
            needed = self._cache.bytes_needed(release.files)
            if not await self._installer.is_active(release):
                await self._installer.install(release, progress)
            updated, failure = await self._knowledge(snapshot)
            await self._tidy(snapshot)
        return Pulled(release, needed == 0, updated, failure)

    async def update_installed(self, snapshot: Snapshot) -> list[CatalogueRelease]:
        """Bring every model in use to the version that the list holds current; returns what was installed.

        Raises:
            MedMeshError: the first failure, after the other models have had their turn.
        """
        current = {(r.disease, r.model): r for r in snapshot.catalogue.current()}
        done: list[CatalogueRelease] = []
        failure: MedMeshError | None = None
        async with self._lock():
            for known in [release for release in await self._store.installed() if release.active]:
                release = current.get((known.disease, known.model))
                if release is None or await self._installer.is_active(release):
                    continue
                try:
                    await self._installer.install(release)
                    done.append(release)
                except MedMeshError as error:
                    failure = failure or error
            await self._tidy(snapshot)
        if failure is not None:
            raise failure
        return done

    async def update_knowledge(self, snapshot: Snapshot) -> bool:
        """Bring the replica up to date; returns whether anything changed.

        Raises:
            MedMeshError: the former replica stays.
        """
        async with self._lock():
            updated = await self._replica.update(snapshot.catalogue.knowledge)
            await self._tidy(snapshot)
        return updated

    async def _tidy(self, snapshot: Snapshot) -> None:
        """Delete what is neither in use nor in the list; what is listed may belong to a download that was cut off."""
        listed = {artifact.sha256 for release in snapshot.catalogue.releases for artifact in release.files}
        if snapshot.catalogue.knowledge is not None:
            listed.add(snapshot.catalogue.knowledge.artifact.sha256)
        await self._cache.sweep(listed)

    async def _knowledge(self, snapshot: Snapshot) -> tuple[bool, MedMeshError | None]:
        try:
            return await self._replica.update(snapshot.catalogue.knowledge), None
        except MedMeshError as error:
            return False, error
