"""Lets a release become the active one of its model, or declines it. The caller holds the node's lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from edge_node.acceptance.comparison import Comparison
from edge_node.acceptance.judge import CandidateDiedError, Judge, Party
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore, Decision, InstalledRelease
from edge_node.errors import DeclinedError, EdgeError
from edge_node.trust.catalogue import CatalogueRelease
from protocols.clock import Clock
from protocols.manifest import ReleaseManifest

AGAIN = timedelta(days=1)  # newer images are looked at so often at most


class Acceptance:
    """What a site has to say about releases.

    Only a newer version is judged, and only against one that is in use and may be: going back is the publisher's act of
    safety, and so is a floor under the versions. A revoked release in use leaves none to compare with.
    """

    def __init__(self, store: CacheStore, cache: ArtifactCache, judge: Judge, coordinator: str, clock: Clock) -> None:
        """Args: coordinator: whose releases these are."""
        self._store = store
        self._cache = cache
        self._judge = judge
        self._coordinator = coordinator
        self._clock = clock

    async def declined(self, release: CatalogueRelease) -> Decision | None:
        """The decision that keeps ``release`` out; None where there is none, or where it is time to judge anew."""
        mark = await self._mark(release)
        if mark is None or not mark.declined:
            return None
        return None if await self._is_due(mark) else mark

    async def require(self, release: CatalogueRelease, manifest: ReleaseManifest) -> None:
        """Decline a release that is worse here than the one in use. All files of both are here.

        Raises:
            DeclinedError: it is; the decision is in force.
        """
        mark = await self._mark(release)
        if mark is not None and not mark.declined:
            return
        active, data = await self._rival(release), await self._judge.labelled(release.disease)
        if active is None or data is None:
            if mark is not None:
                await self._store.forget_decision(release.disease, release.model, release.version)
            return
        parties = [await self._party(active.manifest.sha256), await self._party(release.manifest.sha256)]
        figures: Comparison | None = None
        try:
            figures = await self._judge.compare(parties[0], parties[1])
        except CandidateDiedError:
            declined, reason = True, "failed"
        else:
            declined, reason = figures.verdict == "worse", "worse_here"
        decision = Decision(
            release.disease,
            release.model,
            release.version,
            declined and manifest.floor_version <= active.version,
            "failed" if reason == "failed" else "worse_here",
            "",
            active.version,
            figures,
            data,
            self._clock(),
            release.files if declined else (),
        )
        if decision.declined:
            await self._store.decide(decision)
            raise DeclinedError(decision)
        if declined:  # the publisher's floor lets it in; that it is worse here is told all the same
            await self._store.decide(replace(decision, files=()))
        elif mark is not None:
            await self._store.forget_decision(release.disease, release.model, release.version)

    async def take(self, release: CatalogueRelease) -> None:
        """Note that a person lets a release in."""
        mark = await self._mark(release)
        active = await self._active(release)
        against = active.version if active is not None and active.version != release.version else 0
        fresh = self._by_hand(release, against, "", declined=False)
        await self._store.decide(fresh if mark is None else replace(fresh, figures=mark.figures, against=mark.against))

    async def refuse(self, release: CatalogueRelease, words: str) -> None:
        """Note that a person keeps a release out; where it is in use, the one before takes its place.

        Raises:
            EdgeError: ``acceptance.nothing_before``: there is none, or it may not run.
        """
        active = await self._active(release)
        in_use = active is not None and active.version == release.version
        before = await self._before(release) if in_use else active
        if in_use and before is None:
            raise EdgeError("acceptance.nothing_before", release=release.name)
        decision = self._by_hand(release, 0 if before is None else before.version, words, declined=True)
        await self._store.decide(decision, go_back=in_use)

    def _by_hand(self, release: CatalogueRelease, against: int, words: str, *, declined: bool) -> Decision:
        key = (release.disease, release.model, release.version)
        files = release.files if declined and self._cache.bytes_needed(release.files) == 0 else ()
        return Decision(*key, declined, "by_hand", words, against, None, "", self._clock(), files)

    async def _mark(self, release: CatalogueRelease) -> Decision | None:
        of = (release.disease, release.name)
        return next((d for d in await self._store.decisions() if (d.disease, d.name) == of), None)

    async def _is_due(self, mark: Decision) -> bool:
        """Whether the images, or the release in use, are others than those that the decision rests on."""
        if mark.reason == "by_hand":
            return False
        active = await self._active(mark)
        if active is None or active.name in await self._revoked():
            return False  # nothing to compare with: a person may take it
        if active.version != mark.against:
            return True
        data = await self._judge.labelled(mark.disease)
        return data != mark.data and self._clock() - mark.judged >= AGAIN

    async def _active(self, of: CatalogueRelease | Decision) -> InstalledRelease | None:
        key = (of.disease, of.model)
        return next((r for r in await self._store.installed() if r.active and (r.disease, r.model) == key), None)

    async def _rival(self, release: CatalogueRelease) -> InstalledRelease | None:
        """The release in use that a newer one is judged against."""
        active = await self._active(release)
        if active is None or active.version >= release.version or active.name in await self._revoked():
            return None
        quarantined = {(mark.disease, mark.name) for mark in await self._store.quarantined()}
        is_whole = all([await self._cache.holds(artifact) for artifact in active.files])
        return active if is_whole and (active.disease, active.name) not in quarantined else None

    async def _before(self, release: CatalogueRelease) -> InstalledRelease | None:
        """The version that can take the place of the one in use."""
        key = (release.disease, release.model)
        installed = await self._store.installed()
        before = next((r for r in installed if not r.active and (r.disease, r.model) == key), None)
        if before is None or before.name in await self._revoked():
            return None
        floor = (await self._store.floors(self._coordinator)).get(key, 0)
        quarantined = {(mark.disease, mark.name) for mark in await self._store.quarantined()}
        return None if before.version < floor or (before.disease, before.name) in quarantined else before

    async def _revoked(self) -> Mapping[str, str]:
        record = await self._store.trust(self._coordinator)
        return {} if record is None else record.revoked

    async def _party(self, sha256: str) -> Party:
        manifest = self._cache.path(sha256).read_bytes()
        artifacts = ReleaseManifest.from_bytes(manifest).artifacts
        return Party(sha256, manifest, {a.sha256: self._cache.path(a.sha256) for a in artifacts})
