"""Keeping the cache within its quota. The caller holds the node's lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.quota import Eviction, ModelKey, evict, require_fit
from edge_node.cache.store import CacheStore, InstalledRelease
from protocols.artifacts import Artifact


class Evictor:
    """Says no before a download that could not stay, and makes room after it."""

    def __init__(
        self,
        store: CacheStore,
        cache: ArtifactCache,
        replica: Callable[[], Awaitable[str | None]],
        quota_bytes: Callable[[], int],
    ) -> None:
        """Args: replica: the digest of the knowledge base's file; quota_bytes: 0: no quota."""
        self._store = store
        self._cache = cache
        self._replica = replica
        self._quota_bytes = quota_bytes

    async def require_room(
        self, disease: str, model: str, version: int, files: tuple[Artifact, ...], now: datetime
    ) -> None:
        """Make sure that a release which is about to come can stay; deletes nothing.

        Raises:
            LimitError: ``edge.quota``.
        """
        if not (quota_bytes := self._quota_bytes()):
            return
        installed = await self._store.installed()
        others = [r for r in installed if (r.disease, r.model) != (disease, model)]
        before = [r for r in installed if r.active and r not in others and r.version != version]
        then = [
            *others,
            *(replace(r, active=False) for r in before),
            InstalledRelease(disease, model, version, active=True, installed=now, files=files),
        ]
        require_fit(await self._plan(then, quota_bytes, {(disease, model)}), quota_bytes)

    async def trim(self, keep: Collection[ModelKey] = ()) -> list[InstalledRelease]:
        """Delete what goes first until the quota is met, as far as it can be; returns what went.

        Args:
            keep: models that stay, such as those just pulled.
        """
        if not (quota_bytes := self._quota_bytes()):
            return []
        if self._cache.total_bytes() > quota_bytes:  # what this site declined goes before what it uses
            await self._cache.discard(await self._store.let_go_of_declined())
        return await self._carry_out(await self._plan(await self._store.installed(), quota_bytes, keep), quota_bytes)

    async def require_quota(self, quota_bytes: int) -> None:
        """Make sure that another quota can be met; deletes nothing.

        Raises:
            LimitError: ``edge.quota``.
        """
        if quota_bytes:
            require_fit(await self._plan(await self._store.installed(), quota_bytes, ()), quota_bytes)

    async def _plan(self, installed: list[InstalledRelease], quota_bytes: int, keep: Collection[ModelKey]) -> Eviction:
        pins, used = await self._store.pins(), await self._store.last_used()
        return evict(installed, pins, used, await self._others(), quota_bytes, keep)

    async def _others(self) -> list[Artifact]:
        sha256 = await self._replica()
        if sha256 is None or not (path := self._cache.path(sha256)).is_file():
            return []
        return [Artifact("knowledge", sha256, path.stat().st_size)]

    async def _carry_out(self, eviction: Eviction, quota_bytes: int) -> list[InstalledRelease]:
        for release in eviction.releases:
            await self._store.remove_version(release.disease, release.model, release.version)
            await self._cache.discard(release.files)
        if self._cache.total_bytes() > quota_bytes:  # downloads that were cut off come last and go too
            await self._cache.sweep([a.sha256 for a in await self._others()])
        return list(eviction.releases)
