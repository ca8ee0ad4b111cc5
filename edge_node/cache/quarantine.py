"""Releases that crashed on this machine: they do not run here until a newer version is in use or somebody says so."""

from __future__ import annotations

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore, InstalledRelease, Quarantined
from edge_node.errors import EdgeError, ReleaseRefusedError
from protocols.clock import Clock
from protocols.errors import MedMeshError
from protocols.manifest import ReleaseManifest, parse_release_name


def refusal(mark: Quarantined) -> ReleaseRefusedError:
    """Why a release in quarantine does not run."""
    since = mark.since.isoformat(sep=" ", timespec="minutes")
    return ReleaseRefusedError("worker.release_quarantined", release=mark.name, since=since, cause=mark.code)


class Quarantine:
    """Puts releases in and out, and finds who stands in for one."""

    def __init__(self, store: CacheStore, artifacts: ArtifactCache, coordinator: str | None, clock: Clock) -> None:
        """Args: coordinator: whose floors and revocations count; None before joining."""
        self._store = store
        self._artifacts = artifacts
        self._coordinator = coordinator
        self._clock = clock

    async def marks(self) -> list[Quarantined]:
        """All releases in quarantine."""
        return await self._store.quarantined()

    async def add(self, manifest: ReleaseManifest, failure: MedMeshError) -> ReleaseManifest | None:
        """Put a release in and note it for the coordinator; the other version on this machine takes over if it may.

        Returns:
            the release to use instead; None: there is none.
        """
        stand_in, now = await self._stand_in(manifest), self._clock()
        await self._store.quarantine(
            manifest.disease, manifest.model, manifest.version, failure.code, now, go_back=stand_in is not None
        )
        await self._store.add_event(failure.code, manifest.name, failure.message(), now)
        await self._store.count_failure((manifest.disease, manifest.model, manifest.version), now)
        return stand_in

    async def remove(self, name: str) -> list[Quarantined]:
        """Let a release, ``model@version``, run again.

        Raises:
            EdgeError: ``worker.not_quarantined``.
            ProtocolError: ``release.bad_name``.
        """
        model, version = parse_release_name(name)
        found = [m for m in await self.marks() if m.model == model and version in (None, m.version)]
        if not found:
            raise EdgeError("worker.not_quarantined", release=name)
        for mark in found:
            await self._store.unquarantine(mark.disease, mark.model, mark.version)
        return found

    async def _stand_in(self, manifest: ReleaseManifest) -> ReleaseManifest | None:
        """Another version of the model that is here, whole, and that nothing forbids."""
        for known in await self._store.installed():
            same_model = (known.disease, known.model) == (manifest.disease, manifest.model)
            if not same_model or known.version == manifest.version or await self._is_forbidden(known):
                continue
            try:
                await self._artifacts.require([known.manifest])
                found = ReleaseManifest.from_bytes(self._artifacts.path(known.manifest.sha256).read_bytes())
                await self._artifacts.require(found.needed_to_run)
            except MedMeshError:
                continue
            return found
        return None

    async def _is_forbidden(self, known: InstalledRelease) -> bool:
        """Whether a release is in quarantine itself, revoked, or below what may be gone back to."""
        if any((m.disease, m.name) == (known.disease, known.name) for m in await self.marks()):
            return True
        if self._coordinator is None:
            return False
        trust = await self._store.trust(self._coordinator)
        floor = (await self._store.floors(self._coordinator)).get((known.disease, known.model), 0)
        return known.version < floor or (trust is not None and known.name in trust.revoked)
