"""The list L: verified anew when the coordinator answers, else as last verified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore
from edge_node.errors import AbsentError, SourceError, TrustError
from edge_node.identity.anchor import Anchor
from edge_node.trust import heads
from edge_node.trust.bridge import Bridge, SignedOrigin
from edge_node.trust.catalogue import (
    Catalogue,
    CatalogueRelease,
    Holdings,
    KnowledgeReference,
    ListedModel,
    newest_offer,
    read_knowledge,
    read_release,
    without,
)
from edge_node.trust.record import Evidence, TrustRecord, take_in
from edge_node.trust.refusals import refusing
from edge_node.trust.repository import SignedFile, SignedRepository
from protocols.clock import Clock
from protocols.errors import MedMeshError, ProtocolError
from protocols.trust import KNOWLEDGE, Choice, ModelRollout, Rollout

T = TypeVar("T")
Lookup = Callable[[str, str], SignedFile | None]
Lock = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Snapshot:
    """A list and when it was verified. ``failure`` says why that was not just now."""

    catalogue: Catalogue
    fetched: datetime
    failure: MedMeshError | None = None


@dataclass
class _Collected:
    """What the approvers' part of the repository gave for one rollout document."""

    models: list[ListedModel] = field(default_factory=list)
    knowledge: KnowledgeReference | None = None
    unapproved: list[str] = field(default_factory=list)


class CatalogueFeed:
    """Gives the newest list that can be had, and keeps the node's own record of it."""

    def __init__(
        self,
        origins: Sequence[SignedOrigin],
        folder: Path,
        root: bytes,
        anchor: Anchor,
        store: CacheStore,
        cache: ArtifactCache,
        lock: Lock,
        clock: Clock,
        mirrors: Sequence[SignedOrigin] = (),
    ) -> None:
        """Args: folder: for TUF metadata; root: the metadata from which trust starts; lock: held while refreshing;
        mirrors: asked where no origin answers.
        """
        self._origins = origins
        self._folder = folder
        self._root = root
        self._anchor = anchor
        self._store = store
        self._cache = cache
        self._lock = lock
        self._clock = clock
        self._mirrors = mirrors

    async def refresh(self) -> Snapshot:
        """Verify the coordinator's present state and take it into the record.

        Raises:
            SourceError: no address delivered one; the record is unchanged.
            TrustError: what was delivered is refused; the record is unchanged.
            ProtocolError: ``rollout.malformed``.
        """
        failure: MedMeshError = SourceError("edge.coordinator_unreachable", url="-")
        async with self._lock():
            for number, origin in enumerate(self._origins):
                try:
                    return await self._refresh_from(origin)
                except (SourceError, TrustError, ProtocolError) as error:
                    refused = not isinstance(error, SourceError)
                    if refused:
                        await self._store.add_event(error.code, "", error.message(), self._clock())
                    if refused or number == 0 or isinstance(failure, SourceError):
                        failure = error
            if isinstance(failure, SourceError):
                for mirror in self._mirrors:
                    with suppress(SourceError, TrustError, ProtocolError):  # an outdated mirror is no attack
                        return await self._refresh_from(mirror)
        raise failure

    async def newest(self) -> Snapshot:
        """The list from the coordinator, else the last one with the reason.

        Raises:
            MedMeshError: neither is to be had; the code says why the coordinator's is not.
        """
        try:
            return await self.refresh()
        except MedMeshError as error:
            kept = await self.kept()
            if kept is None:
                raise
            return Snapshot(kept.catalogue, kept.fetched, error)

    async def kept(self) -> Snapshot | None:
        """The list as last verified, without asking anyone."""
        record = await self._store.trust(self._anchor.coordinator)
        if record is None:
            return None
        listed = await self._known()

        def nowhere(_: str, __: str) -> SignedFile | None:
            raise SourceError("edge.release_not_at_hand")

        collected = self._collect(record, await self._holdings(), nowhere, listed)
        knowledge = await self._store.knowledge(self._anchor.coordinator)
        return Snapshot(self._catalogue(record, collected, knowledge), record.verified)

    async def _refresh_from(self, origin: SignedOrigin) -> Snapshot:
        former = await self._store.trust(self._anchor.coordinator)
        holdings = await self._holdings()
        listed = await self._known()
        bridge = Bridge(origin)
        repository, seen = await self._in_thread(bridge, lambda: self._examine(bridge))
        record = take_in(former, seen, self._anchor, self._clock())
        await self._store.set_trust(self._anchor.coordinator, record)
        await self._remember_head(seen)
        lookup = _Lookup(repository, bridge, record.time_floor)
        collected = await self._in_thread(bridge, lambda: self._collect(record, holdings, lookup, listed))
        releases = [model.release for model in collected.models if model.release is not None]
        knowledge = collected.knowledge or await self._store.knowledge(self._anchor.coordinator)
        await self._store.set_listed(self._anchor.coordinator, releases, knowledge)
        for name in collected.unapproved:
            error = TrustError("trust.unapproved", release=name)
            await self._store.add_event(error.code, name, error.message(), self._clock())
        return Snapshot(self._catalogue(record, collected, knowledge), record.verified)

    async def _remember_head(self, seen: Evidence) -> None:
        """Keep the audit trail's head; a contradiction is noted, and stops no update."""
        with suppress(OSError):  # on a full disk the next refresh keeps it
            changed = await asyncio.to_thread(heads.see, self._folder, seen.timestamp)
            if changed is not None:
                await self._store.add_event(changed.code, "", changed.message(), self._clock())

    def _examine(self, bridge: Bridge) -> tuple[SignedRepository, Evidence]:
        repository = SignedRepository(self._folder, self._root, self._cache.path, bridge)
        return repository, repository.evidence()

    def _collect(
        self,
        record: TrustRecord,
        holdings: Holdings,
        lookup: Lookup,
        listed: Mapping[tuple[str, str], CatalogueRelease],
    ) -> _Collected:
        """Decide for each model, and read what the decision needs. Blocking."""
        collected = _Collected()
        rollout = record.rollout
        for model in rollout.models:
            collected.models.append(self._decide(rollout, model, holdings, lookup, listed, collected.unapproved))
        revoked = {r.release for r in rollout.revoked}
        if rollout.knowledge is not None and rollout.knowledge not in revoked:
            try:
                found = lookup(KNOWLEDGE, rollout.knowledge)
                collected.knowledge = None if found is None else read_knowledge(found.data)
            except MedMeshError:
                collected.knowledge = None  # the replica at hand stays
        return collected

    def _decide(
        self,
        rollout: Rollout,
        model: ModelRollout,
        holdings: Holdings,
        lookup: Lookup,
        listed: Mapping[tuple[str, str], CatalogueRelease],
        unapproved: list[str],
    ) -> ListedModel:
        """The release for this node; an offer that nobody approved does not count."""
        absent: set[tuple[str, str]] = set()
        while True:
            choice = holdings.choice(rollout, without(model, absent), self._anchor)
            release, failure = None, None
            if choice.release is not None:
                key = (model.disease, choice.release)
                try:
                    found = lookup(*key)
                    if found is None:
                        unapproved.append(choice.release)
                        absent.add(key)
                        if not model.paused:
                            continue
                        choice = Choice(None, choice.reason)
                    else:
                        release = read_release(*key, found.signer, found.data)
                except MedMeshError as error:
                    release = listed.get(key)
                    failure = error if release is None else None
            version = newest_offer(model) if choice.release is None else int(choice.release.split("@")[1])
            return ListedModel(
                model.disease, model.model, version, model.paused, choice.release, choice.reason, release, failure
            )

    def _catalogue(self, record: TrustRecord, collected: _Collected, knowledge: KnowledgeReference | None) -> Catalogue:
        rollout = record.rollout
        models = tuple(sorted(collected.models, key=lambda m: (m.disease, m.model)))
        is_out = self._anchor.node if self._anchor.node in rollout.revoked_nodes else None
        return Catalogue(record.serial, rollout.coordinator, knowledge, models, is_out)

    async def _holdings(self) -> Holdings:
        active = {(r.disease, r.model): r.name for r in await self._store.installed() if r.active}
        return Holdings(active, await self._store.floors(self._anchor.coordinator))

    async def _known(self) -> dict[tuple[str, str], CatalogueRelease]:
        """Releases that were verified before, by (disease, name): those on this machine and those last listed."""
        installed = {
            (r.disease, r.name): CatalogueRelease(r.disease, r.model, r.version, "-", r.files[0], r.files[1:])
            for r in await self._store.installed()
        }
        return {**installed, **await self._store.listed(self._anchor.coordinator)}

    async def _in_thread(self, bridge: Bridge, work: Callable[[], T]) -> T:
        """Run blocking work that fetches through ``bridge``; when cancelled, it ends before this returns."""
        running = asyncio.ensure_future(asyncio.to_thread(_translated, bridge, work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            bridge.stop()
            await asyncio.gather(running, return_exceptions=True)
            raise
        finally:
            await bridge.close()


class _Lookup:
    """Asks the repository for approved releases; once the line is gone, it is not asked again."""

    def __init__(self, repository: SignedRepository, bridge: Bridge, floor: datetime) -> None:
        self._repository = repository
        self._bridge = bridge
        self._floor = floor
        self._failure: MedMeshError | None = None

    def __call__(self, disease: str, name: str) -> SignedFile | None:
        """What the approvers signed under this name.

        Raises:
            TrustError: it is refused.
            SourceError: it could not be fetched.
        """
        if self._failure is not None:
            raise self._failure
        try:
            found = _translated(self._bridge, lambda: self._repository.release(disease, name))
        except AbsentError:  # a stick need not hold every release
            raise
        except SourceError as error:
            self._failure = error
            raise
        if found is not None and self._repository.approvers_expire() <= self._floor:
            raise TrustError("trust.clock_behind", role="approvers", floor=self._floor.date().isoformat())
        return found


def _translated(bridge: Bridge, work: Callable[[], T]) -> T:
    try:
        with refusing():
            return work()
    except DownloadError as error:
        if isinstance(error, DownloadHTTPError) and bridge.absence is not None:
            raise bridge.absence from error
        raise bridge.failure or SourceError("edge.metadata_missing", path=str(error)[:80]) from error
    except RepositoryError as error:
        raise TrustError("trust.malformed", detail=type(error).__name__) from error
