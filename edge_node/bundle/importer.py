"""Taking a stick in: the same feed, the same fetcher and the same self-test as over the network, with the bundle as source."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from edge_node.activation.pull import Puller
from edge_node.bundle.reader import Bundle
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore, Decision
from edge_node.errors import DeclinedError, NodeRevokedError, SourceError
from edge_node.trust.catalogue import Catalogue, CatalogueRelease
from edge_node.trust.feed import CatalogueFeed, Snapshot
from protocols.errors import MedMeshError

Progress = Callable[[int], None]


@dataclass
class Imported:
    """What an import did to the models on this machine.

    Attributes:
        serial: of the list verified.
        switched: releases that took the place of others, as (disease, release).
        installed: releases of diseases for which there was no model here.
        knowledge_updated: the replica of the knowledge base is a newer one now.
        revoked: releases revoked since the list before, with the publisher's reasons.
        declined: releases that this site declined; those in use stay.
        not_carried: newer releases of models in use that the bundle does not hold.
        failure: the first thing that was refused; the rest had its turn.
    """

    serial: int
    switched: list[tuple[str, str]] = field(default_factory=list)
    installed: list[tuple[str, str]] = field(default_factory=list)
    knowledge_updated: bool = False
    revoked: dict[str, str] = field(default_factory=dict)
    declined: list[Decision] = field(default_factory=list)
    not_carried: list[str] = field(default_factory=list)
    failure: MedMeshError | None = None


def wanted(catalogue: Catalogue, in_use: Collection[tuple[str, str]]) -> list[CatalogueRelease | MedMeshError]:
    """What this node should have of the list: the releases of models in use, and of diseases without a model here.

    Args:
        catalogue: the list.
        in_use: active models, as (disease, model).

    Returns:
        Releases, and in the place of one whose manifest is not to be had, the reason.
    """
    diseases = {disease for disease, _ in in_use}
    found: list[CatalogueRelease | MedMeshError] = []
    for model in catalogue.models:
        is_in_use = (model.disease, model.model) in in_use
        if model.choice is None or not (is_in_use or model.disease not in diseases):
            continue
        if model.release is not None:
            found.append(model.release)
        elif is_in_use and model.failure is not None:
            found.append(model.failure)
    return found


class Importer:
    """Brings one bundle's list into force."""

    def __init__(
        self,
        opened: Bundle,
        feed: CatalogueFeed,
        puller: Puller,
        store: CacheStore,
        cache: ArtifactCache,
        coordinator: str,
    ) -> None:
        """Args: feed and puller: with the bundle as their only source; coordinator: whose record is kept."""
        self._bundle = opened
        self._feed = feed
        self._puller = puller
        self._store = store
        self._cache = cache
        self._coordinator = coordinator

    async def run(self, starting: Callable[[int], None], progress: Progress) -> Imported:
        """Verify the list and bring models and knowledge base up to it.

        Args:
            starting: told how many bytes will be copied.
            progress: called with the number of bytes that were just copied.

        Raises:
            TrustError: the list is refused, exactly as over the network.
            SourceError: the bundle does not hold all of it.
        """
        before = await self._store.trust(self._coordinator)
        snapshot = await self._feed.refresh()
        after = await self._store.trust(self._coordinator)
        done = Imported(snapshot.catalogue.serial)
        former = {} if before is None else before.revoked
        done.revoked = {k: v for k, v in (after.revoked if after else {}).items() if k not in former}
        if snapshot.catalogue.revoked_node is not None:
            done.failure = NodeRevokedError("node.revoked", name=snapshot.catalogue.revoked_node)
            return done
        active = {(r.disease, r.model): r.name for r in await self._store.installed() if r.active}
        releases = self._carried(wanted(snapshot.catalogue, active), active, done)
        starting(self._cache.unfinished_bytes([artifact for release in releases for artifact in release.files]))
        for release in releases:
            await self._bring(snapshot, release, active, done, progress)
        await self._bring_knowledge(snapshot, done)
        return done

    def _carried(
        self,
        found: list[CatalogueRelease | MedMeshError],
        in_use: Collection[tuple[str, str]],
        done: Imported,
    ) -> list[CatalogueRelease]:
        """Those of which everything is here or in the bundle."""
        releases: list[CatalogueRelease] = []
        for item in found:
            if isinstance(item, SourceError):
                done.not_carried.append(str(item.details.get("name", "-")))
            elif isinstance(item, MedMeshError):
                done.failure = done.failure or item
            elif all(self._cache.held_bytes(a) == a.size_bytes or self._bundle.holds(a) for a in item.files):
                releases.append(item)
            elif (item.disease, item.model) in in_use:
                done.not_carried.append(item.name)
        return releases

    async def _bring(
        self,
        snapshot: Snapshot,
        release: CatalogueRelease,
        active: dict[tuple[str, str], str],
        done: Imported,
        progress: Progress,
    ) -> None:
        former = active.get((release.disease, release.model))
        try:
            pulled = await self._puller.pull(snapshot, release, progress)
        except DeclinedError as error:
            done.declined.append(error.decision)
            return
        except MedMeshError as error:
            if former is None or error.code != "worker.release_quarantined":  # known here; it waits for a newer version
                done.failure = done.failure or error
            return
        done.knowledge_updated = done.knowledge_updated or pulled.knowledge_updated
        if former is None:
            done.installed.append((release.disease, release.name))
        elif former != release.name:
            done.switched.append((release.disease, release.name))

    async def _bring_knowledge(self, snapshot: Snapshot, done: Imported) -> None:
        try:
            done.knowledge_updated = await self._puller.update_knowledge(snapshot) or done.knowledge_updated
        except MedMeshError as error:
            if error.code == "bundle.lacks":
                done.not_carried.append("kb")
            else:
                done.failure = done.failure or error
