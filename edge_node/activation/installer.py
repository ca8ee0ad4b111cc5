"""Installs one listed release, or leaves everything as it was."""

from __future__ import annotations

import asyncio

from edge_node.acceptance.gate import Acceptance
from edge_node.activation.checks import check_node_version
from edge_node.activation.self_test import Examinee, self_test
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.quarantine import refusal
from edge_node.cache.store import CacheStore, Decision, Floor, Quarantined
from edge_node.errors import DeclinedError
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
        acceptance: Acceptance,
    ) -> None:
        """Args: coordinator: whose releases these are; acceptance: this site's say."""
        self._store = store
        self._cache = cache
        self._fetcher = fetcher
        self._models = models
        self._node_version = node_version
        self.coordinator = coordinator
        self._clock = clock
        self._acceptance = acceptance

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

    async def declined(self, release: CatalogueRelease) -> Decision | None:
        """What this site decided against a release, until it is time to judge anew."""
        return await self._acceptance.declined(release)

    async def install(
        self, release: CatalogueRelease, progress: Progress = lambda _: None, *, by_hand: bool = False
    ) -> ReleaseManifest:
        """Bring ``release`` into use; on any failure the model that was active still is.

        Args:
            release: from the list.
            progress: called with the number of bytes that just arrived.
            by_hand: a person takes it, whatever this site's images say.

        Raises:
            DeclinedError: this site has something against it.
            ReleaseRefusedError: it is in quarantine or too new for this program, or failed its self-test.
            SourceError: a file could not be fetched.
            ProtocolError: the manifest is malformed.
        """
        if (mark := await self.quarantined(release)) is not None:
            raise refusal(mark)
        if not by_hand and (against := await self.declined(release)) is not None:
            raise DeclinedError(against)
        await self._fetcher.fetch(release.manifest, progress)
        manifest = ReleaseManifest.from_bytes(self._cache.path(release.manifest.sha256).read_bytes())
        check_node_version(manifest, self._node_version)
        for artifact in manifest.artifacts:
            await self._fetcher.fetch(artifact, progress)
        await asyncio.to_thread(self_test, manifest, self._cache.path(manifest.golden.sha256), self._models)
        if not by_hand:
            await self._acceptance.require(release, manifest)
        files = (release.manifest, *manifest.artifacts)
        floor = Floor(self.coordinator, manifest.floor_version)
        await self._store.activate(release.disease, release.model, release.version, files, self._clock(), floor)
        if by_hand:
            await self._acceptance.take(release)
        return manifest

    async def refuse(self, release: CatalogueRelease, words: str) -> None:
        """A person keeps a release out; where it is in use, the one before takes its place. Raises as ``Acceptance.refuse``."""
        await self._acceptance.refuse(release, words)
