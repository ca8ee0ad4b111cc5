"""``pull``: from a disease's name to a model in use, and the replica beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from edge_node.activation.installer import Installer
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.choice import choose
from edge_node.cache.evictor import Evictor
from edge_node.cache.store import CacheStore, Decision, InstalledRelease
from edge_node.errors import (
    DeclinedError,
    EdgeError,
    LimitError,
    NodeRevokedError,
    ReleaseRefusedError,
    UnreachableError,
)
from edge_node.knowledge.replica import ReplicaUpdater
from edge_node.transfer.source import Progress
from edge_node.trust.catalogue import CatalogueRelease
from edge_node.trust.feed import CatalogueFeed, Snapshot
from protocols.clock import Clock
from protocols.errors import MedMeshError
from protocols.manifest import parse_release_name

_SELF_TEST = ("release.self_test_failed", "worker.self_test_crashed")
_NEWS_MAY_MEND = ("edge.disease_unknown", "edge.release_not_at_hand", "release.not_offered")


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        release: the release that is in use now.
        already_cached: nothing of it had to be fetched.
        knowledge_updated: a new replica of the knowledge base came along.
        knowledge_failure: why the replica could not be brought up to date; the model is in use all the same.
        evicted: releases that went to keep the cache within its quota.
    """

    release: CatalogueRelease
    already_cached: bool
    knowledge_updated: bool
    knowledge_failure: MedMeshError | None
    evicted: tuple[str, ...] = ()


class Budget(Protocol):
    """What may come over the WAN this month."""

    async def require(self, wanted_bytes: int) -> None:
        """Raise LimitError where so many bytes more would pass it."""
        ...

    def waive(self) -> None:
        """From now on everything is allowed."""
        ...


class NoBudget:
    """What comes from a stick costs nothing."""

    async def require(self, _: int) -> None:
        """See ``Budget``."""

    def waive(self) -> None:
        """See ``Budget``."""


class Puller:
    """Brings listed releases into use, one process at a time."""

    def __init__(
        self,
        feed: CatalogueFeed,
        store: CacheStore,
        cache: ArtifactCache,
        installer: Installer,
        replica: ReplicaUpdater,
        evictor: Evictor,
        lock: Callable[[], AbstractAsyncContextManager[None]],
        clock: Clock,
        budget: Budget,
        *,
        may_share: bool = False,
    ) -> None:
        """Args: may_share: whether peers may bring what is missing; then the budget is not asked beforehand."""
        self._feed = feed
        self._store = store
        self._cache = cache
        self._installer = installer
        self._replica = replica
        self._evictor = evictor
        self._lock = lock
        self._clock = clock
        self._budget = budget
        self._may_share = may_share

    async def refresh(self) -> Snapshot:
        """Fetch the list.

        Raises:
            EdgeError: it is not to be had.
        """
        return await self._feed.refresh()

    async def find(
        self, disease: str, model: str | None, heard: Callable[[Snapshot], None]
    ) -> tuple[Snapshot, CatalogueRelease]:
        """The newest list that can be had, and the release of ``disease`` in it for this node.

        Args:
            disease: its slug.
            model: see ``choose``.
            heard: told the list before anything is chosen.

        Raises:
            UnreachableError: the line is gone, and what is known without it is not enough; later it may be.
            EdgeError: as for ``choose``.
        """
        snapshot = await self._feed.newest()
        try:
            release = self.choose(snapshot, disease, model)
        except EdgeError as error:
            if isinstance(snapshot.failure, UnreachableError) and error.code in _NEWS_MAY_MEND:
                raise snapshot.failure from error
            heard(snapshot)
            raise
        heard(snapshot)
        return snapshot, release

    def choose(self, snapshot: Snapshot, disease: str, model: str | None) -> CatalogueRelease:
        """The release of ``disease`` that the coordinator gives to this node.

        Args:
            snapshot: the list.
            disease: its slug.
            model: which of several; with a version, it must be the one for this node.

        Raises:
            EdgeError: not in the list, several models to choose from, or none for this node: ``release.not_offered``,
                ``release.revoked``.
            MedMeshError: what is wrong with the release.
        """
        _require_member(snapshot)
        wanted, version = (None, None) if model is None else parse_release_name(model)
        listed = choose(snapshot.catalogue.models, disease, wanted)
        if version is not None and version != (listed.version if listed.choice else None):
            raise EdgeError("release.not_offered", release=model, choice=listed.choice or "-")
        if listed.choice is None and listed.reason:
            raise EdgeError("release.revoked", release=listed.model, reason=listed.reason)
        if listed.choice is None:
            raise EdgeError("release.not_offered", release=listed.model, choice="-")
        if listed.release is None:
            raise listed.failure or EdgeError("edge.release_not_at_hand")
        return listed.release

    async def pull(
        self, snapshot: Snapshot, release: CatalogueRelease, progress: Progress, *, over_budget: bool = False
    ) -> Pulled:
        """Bring ``release`` into use, and the replica of the knowledge base up to date.

        Args:
            snapshot: the list that the release is from.
            release: from ``choose``.
            progress: called with the number of bytes that just arrived.
            over_budget: whatever the month's budget says.

        Raises:
            LimitError: it would pass the budget, or could not stay within the quota: nothing was fetched or deleted; or the
                budget is used up now: what arrived is kept.
            EdgeError: refused, or not to be had; what was in use before still is.
        """
        if over_budget:
            self._budget.waive()
        async with self._lock():
            needed = self._cache.bytes_needed(release.files)
            if not await self._installer.is_active(release):
                await self._require(self._cache.bytes_needed(release.files))
                await self._install(release, progress)
            updated, failure = await self._knowledge(snapshot)
            evicted = await self._evictor.trim([(release.disease, release.model)])
            await self._tidy(snapshot)
        return Pulled(release, needed == 0, updated, failure, tuple(r.name for r in evicted))

    async def bytes_wanted(self, snapshot: Snapshot) -> int:
        """What bringing the models in use and the replica up to date would have to fetch."""
        _require_member(snapshot)
        listed = {(m.disease, m.model): m.release for m in snapshot.catalogue.models if m.choice is not None}
        active = [(known, listed.get((known.disease, known.model))) for known in await self._store.installed()]
        wanted = [
            artifact
            for known, release in active
            if known.active and release is not None and await self._may_come(release)
            for artifact in release.files
        ]
        return self._cache.bytes_needed(wanted) + await self._replica.bytes_needed(snapshot.catalogue.knowledge)

    async def _may_come(self, release: CatalogueRelease) -> bool:
        return await self._installer.quarantined(release) is None and await self._installer.declined(release) is None

    async def update_installed(
        self,
        snapshot: Snapshot,
        *,
        fetch: bool = True,
        evicted: Callable[[str], None] = lambda _: None,
        declined: Callable[[Decision], None] = lambda _: None,
    ) -> list[CatalogueRelease]:
        """Bring every model in use to the release that the coordinator gives to this node; returns what was switched to.

        Args:
            snapshot: the list.
            fetch: whether anything may be fetched; else only what is here already is switched to, as after a rollback.
            evicted: told the name of each release that went to keep the cache within its quota.
            declined: told what this site declined just now; the release in use stays, and that is no failure.

        Raises:
            MedMeshError: the first failure, after the other models have had their turn.
        """
        _require_member(snapshot)
        listed = {(m.disease, m.model): m for m in snapshot.catalogue.models if m.choice is not None}
        done: list[CatalogueRelease] = []
        failure: MedMeshError | None = None
        async with self._lock():
            for known in [release for release in await self._store.installed() if release.active]:
                model = listed.get((known.disease, known.model))
                if model is None:
                    continue
                try:
                    if model.release is None:
                        raise model.failure or EdgeError("edge.release_not_at_hand")
                    if await self._update(model.release, fetch):
                        done.append(model.release)
                except DeclinedError as error:
                    declined(error.decision)
                except MedMeshError as error:
                    failure = failure or error
            for gone in await self._evictor.trim([(r.disease, r.model) for r in done]):
                evicted(gone.name)
            await self._tidy(snapshot)
        if failure is not None:
            raise failure
        return done

    async def _update(self, release: CatalogueRelease, fetch: bool) -> bool:
        if await self._installer.is_active(release) or not await self._may_come(release):
            return False
        if not fetch and self._cache.bytes_needed(release.files):
            return False
        await self._install(release)
        return True

    async def accept(self, snapshot: Snapshot | None, name: str, progress: Progress) -> CatalogueRelease:
        """Bring a release into use because a person in charge says so, whatever this site's images say.

        Args:
            snapshot: the list as last verified, if there is one.
            name: ``model@version``: offered to this node, or declined here.
            progress: called with the number of bytes that just arrived.

        Raises:
            EdgeError: ``acceptance.unknown_release``, ``release.revoked``, ``node.revoked``, or as ``pull``.
        """
        if snapshot is not None:
            _require_member(snapshot)
        release = await self._named(snapshot, name)
        await self._require_choosable(release)
        async with self._lock():
            if not await self._installer.is_active(release):
                await self._install(release, progress, by_hand=True)
        return release

    async def decline(self, snapshot: Snapshot | None, name: str, words: str) -> CatalogueRelease:
        """Keep a release out because a person in charge says so; where it is in use, the one before takes its place.

        Args:
            snapshot: the list as last verified, if there is one.
            name: ``model@version``: offered to this node, or here.
            words: the reason; it stays on this machine.

        Raises:
            EdgeError: ``acceptance.unknown_release`` or ``acceptance.nothing_before``.
        """
        release = await self._named(snapshot, name)
        async with self._lock():
            await self._installer.refuse(release, words)
        return release

    async def _named(self, snapshot: Snapshot | None, name: str) -> CatalogueRelease:
        """A release of the list, on this machine, or among those that were declined and kept."""
        listed = [] if snapshot is None else snapshot.catalogue.releases
        here: list[InstalledRelease | Decision] = [r for r in await self._store.installed() if r.active]
        here += [d for d in await self._store.decisions() if d.files]
        found = [
            *listed,
            *(CatalogueRelease(r.disease, r.model, r.version, "-", r.files[0], r.files[1:]) for r in here),
        ]
        release = next((r for r in found if r.name == name), None)
        if release is None:
            raise EdgeError("acceptance.unknown_release", release=name)
        return release

    async def _require_choosable(self, release: CatalogueRelease) -> None:
        """What the publisher revoked, or put a floor above, no person at a site can take."""
        record = await self._store.trust(self._installer.coordinator)
        if record is not None and release.name in record.revoked:
            raise EdgeError("release.revoked", release=release.name, reason=record.revoked[release.name])
        floors = await self._store.floors(self._installer.coordinator)
        if release.version < floors.get((release.disease, release.model), 0):
            raise EdgeError("release.not_offered", release=release.name, choice="-")

    async def _install(
        self, release: CatalogueRelease, progress: Progress = lambda _: None, *, by_hand: bool = False
    ) -> None:
        await self._evictor.require_room(release.disease, release.model, release.version, release.files, self._clock())
        try:
            await self._installer.install(release, progress, by_hand=by_hand)
        except DeclinedError:  # the decision itself is kept and told
            raise
        except ReleaseRefusedError as error:
            await self._store.add_event(error.code, release.name, error.message(), self._clock())
            if error.code != "worker.release_quarantined":  # that failure was counted when it happened
                key = (release.disease, release.model, release.version)
                await self._store.count_failure(key, self._clock(), self_test=error.code in _SELF_TEST)
            raise

    async def update_knowledge(self, snapshot: Snapshot) -> bool:
        """Bring the replica up to date; returns whether anything changed.

        Raises:
            MedMeshError: the former replica stays.
        """
        _require_member(snapshot)
        async with self._lock():
            updated = await self._replica.update(snapshot.catalogue.knowledge)
            await self._tidy(snapshot)
        return updated

    async def _tidy(self, snapshot: Snapshot) -> None:
        """Delete what is neither in use nor in the list; what is listed may belong to a download that was cut off."""
        listed = {artifact.sha256 for release in snapshot.catalogue.releases for artifact in release.files}
        if snapshot.catalogue.knowledge is not None:
            listed.add(snapshot.catalogue.knowledge.artifact.sha256)
        if (replica := await self._replica.base()) is not None:
            listed.add(replica)
        await self._cache.sweep(listed)

    async def over_budget(self, wanted_bytes: int, *, waive: bool) -> LimitError | None:
        """Why so many bytes must not be fetched now, as far as it is known beforehand; ``waive``: whatever the budget says."""
        if waive:
            self._budget.waive()
        try:
            await self._require(wanted_bytes)
        except LimitError as error:
            return error
        return None

    async def _require(self, wanted_bytes: int) -> None:
        if not self._may_share:
            await self._budget.require(wanted_bytes)

    async def _knowledge(self, snapshot: Snapshot) -> tuple[bool, MedMeshError | None]:
        try:
            await self._require(await self._replica.bytes_needed(snapshot.catalogue.knowledge))
            return await self._replica.update(snapshot.catalogue.knowledge), None
        except MedMeshError as error:
            return False, error


def _require_member(snapshot: Snapshot) -> None:
    """A node that was put out takes in nothing new.

    Raises:
        NodeRevokedError: always ``node.revoked``.
    """
    if snapshot.catalogue.revoked_node is not None:
        raise NodeRevokedError("node.revoked", name=snapshot.catalogue.revoked_node)
