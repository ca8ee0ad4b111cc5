"""Installs one listed release, or leaves everything as it was."""

from __future__ import annotations

import asyncio

from edge_node.activation.checks import check_node_version
from edge_node.activation.self_test import Examinee, self_test
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.quarantine import refusal
from edge_node.cache.store import CacheStore, Floor, Quarantined
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.transfer.source import Progress
from edge_node.trust.catalogue import CatalogueRelease
from protocols.clock import Clock
from protocols.manifest import ReleaseManifest


class Installer:
    """Fetch, check, prove, switch. The caller holds the node's lock."""

    def __init__(
        self,
        store: CacheStore,
        cache: ArtifactCache,
        fetcher: ArtifactFetcher,
        models: Examinee,
        node_version: str,
        coordinator: str,
        clock: Clock,
    ) -> None:
        """Args: coordinator: whose releases these are."""
        self._store = store
        self._cache = cache
        self._fetcher = fetcher
        self._models = models
        self._node_version = node_version
        self._coordinator = coordinator
        self._clock = clock

    async def is_active(self, release: CatalogueRelease) -> bool:
        """Whether exactly this release is in use, with all its files in order."""
        if await self.quarantined(release) is not None:
            return False
        for known in await self._store.installed():
            if known.active and known.disease == release.disease and known.manifest.sha256 == release.manifest.sha256:
                return all([await self._cache.holds(artifact) for artifact in known.files])
        return False

    async def quarantined(self, release: CatalogueRelease) -> Quarantined | None:
        """The mark on a release that crashed on this machine."""
        of = (release.disease, release.name)
        return next((mark for mark in await self._store.quarantined() if (mark.disease, mark.name) == of), None)

    async def install(self, release: CatalogueRelease, progress: Progress = lambda _: None) -> ReleaseManifest:
        """Bring ``release`` into use; on any failure the model that was active still is.

        Raises:
            ReleaseRefusedError: it is in quarantine or too new for this program, or failed its self-test.
            SourceError: a file could not be fetched.
            ProtocolError: the manifest is malformed.
        """
        if (mark := await self.quarantined(release)) is not None:
            raise refusal(mark)
        await self._fetcher.fetch(release.manifest, progress)
        manifest = ReleaseManifest.from_bytes(self._cache.path(release.manifest.sha256).read_bytes())
        check_node_version(manifest, self._node_version)
        for artifact in manifest.artifacts:
            await self._fetcher.fetch(artifact, progress)
        await asyncio.to_thread(self_test, manifest, self._cache.path(manifest.golden.sha256), self._models)
        files = (release.manifest, *manifest.artifacts)
        floor = Floor(self._coordinator, manifest.floor_version)
        await self._store.activate(release.disease, release.model, release.version, files, self._clock(), floor)
        return manifest
