"""The models: in the coordinator's list and on this device."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from edge_node.bootstrap import LocalCache
from edge_node.errors import DeclinedError, EdgeError, NotEnrolledError
from edge_node.ui.ports import Progress
from edge_node.ui.values import Card, Offer, Shelf, Words
from edge_node.ui.wiring.node import Adapter
from edge_node.ui.wiring.standing import freshness
from protocols.errors import MedMeshError

if TYPE_CHECKING:
    from edge_node.trust.feed import Snapshot
    from edge_node.trust.standing import Standing
    from protocols.manifest import ReleaseManifest


class EdgeLibrary(Adapter):
    """The list L and the cache."""

    async def here(self) -> Shelf:
        """The installed models: nothing of the network or of the signed list has to be loaded for them."""
        return await self._run(self._here)

    async def _here(self) -> Shelf:
        node, member = self._node, True
        try:
            node.edge.identity()
        except EdgeError:
            member = False
        standing = await node.standing()
        offers = await _offers(await node.local(), None, standing)
        return Shelf(offers, freshness(standing), member, await self._names(offers))

    async def shelf(self, *, ask: bool) -> Shelf:
        """All models, with their diseases' names."""
        return await self._run(lambda: self._shelf(ask))

    async def _shelf(self, ask: bool) -> Shelf:
        node = self._node
        failure: MedMeshError | None = None
        snapshot: Snapshot | None = None
        member = True
        try:
            async with node.edge.online() as online:
                if ask:
                    try:
                        snapshot = await online.feed.newest()
                        failure = snapshot.failure
                    except MedMeshError as error:
                        failure = error
                snapshot = snapshot or await online.feed.kept()
        except NotEnrolledError:
            member = False
        except EdgeError as error:
            failure = error
        offers = await _offers(await node.local(), snapshot, await node.standing())
        return Shelf(offers, freshness(await node.standing()), member, await self._names(offers), failure)

    async def _names(self, offers: tuple[Offer, ...]) -> dict[str, Words]:
        names: dict[str, Words] = {}
        with suppress(MedMeshError):
            knowledge = await self._node.knowledge()
            for disease in {offer.disease for offer in offers}:
                if (entry := await knowledge.get(disease)) is not None:
                    names[disease] = {"zh": entry.name.zh, "en": entry.name.en}
        return names

    async def card(self, disease: str, model: str) -> Card | None:
        """The card of the installed model."""
        return await self._run(lambda: self._card(disease, model))

    async def _card(self, disease: str, model: str) -> Card | None:
        from protocols.manifest import ReleaseManifest

        local = await self._node.local()
        for release in await local.store.installed():
            if release.active and (release.disease, release.model) == (disease, model):
                await local.artifacts.require([release.manifest])
                data = local.artifacts.path(release.manifest.sha256).read_bytes()
                return card(ReleaseManifest.from_bytes(data))
        return None

    async def pull(self, disease: str, model: str, progress: Progress, *, over_budget: bool = False) -> None:
        """Fetch a model; the failure of the knowledge base beside it is not the model's."""
        await self._run(lambda: self._pull(disease, model, progress, over_budget))

    async def _pull(self, disease: str, model: str, progress: Progress, over_budget: bool) -> None:
        async with self._node.edge.online() as online:
            snapshot = await online.feed.newest()
            release = online.puller.choose(snapshot, disease, model)
            total = online.local.artifacts.unfinished_bytes(release.files)
            done = 0

            def add(size_bytes: int) -> None:
                nonlocal done
                done += size_bytes
                progress(done, total)

            await online.puller.pull(snapshot, release, add, over_budget=over_budget)

    async def remove(self, disease: str, model: str) -> None:
        """Delete both versions of a model and the files that nothing else needs."""
        await self._run(lambda: self._remove(disease, model))

    async def _remove(self, disease: str, model: str) -> None:
        local = await self._node.local()
        async with self._node.edge.lock():
            doomed = [r for r in await local.store.installed() if (r.disease, r.model) == (disease, model)]
            await local.store.remove(disease, model)
            await local.artifacts.discard([artifact for release in doomed for artifact in release.files])


async def _offers(local: LocalCache, snapshot: Snapshot | None, standing: Standing) -> tuple[Offer, ...]:
    active = {(r.disease, r.model): r for r in await local.store.installed() if r.active}
    decisions = {(d.disease, d.name): DeclinedError(d) for d in await local.store.decisions() if d.declined}
    offers = []
    for model in snapshot.catalogue.models if snapshot else ():
        known = active.pop((model.disease, model.model), None)
        offers.append(
            Offer(
                disease=model.disease,
                model=model.model,
                version=model.version,
                release=model.choice,
                bytes_needed=None if model.release is None else local.artifacts.bytes_needed(model.release.files),
                active_version=None if known is None else known.version,
                signer=None if model.release is None else model.release.signer,
                paused=model.paused,
                revoked=None if known is None else standing.revoked.get(known.name),
                problem=model.failure,
                declined=decisions.get((model.disease, model.choice or "")),
            )
        )
    for (disease, name), release in active.items():
        revoked = standing.revoked.get(release.name)
        offers.append(Offer(disease, name, release.version, active_version=release.version, revoked=revoked))
    return tuple(offers)


def card(manifest: ReleaseManifest) -> Card:
    """What a manifest says for people; figures that a ready-trained model lacks are left out."""
    figure, data = manifest.metrics.get("balanced_accuracy"), manifest.data
    accuracy = None
    with suppress(KeyError, TypeError, ValueError):
        accuracy = (float(figure["value"]), float(figure["low"]), float(figure["high"])) if figure else None
    counts = {key: data[key] if isinstance(data.get(key), int) else None for key in ("images", "groups")}
    backbone = manifest.backbone
    return Card(
        release=manifest.name,
        created=manifest.created[:10],
        labels=tuple(label.label for label in manifest.labels),
        accuracy=accuracy,
        images=counts["images"],
        groups=counts["groups"],
        backbone="-" if backbone is None else backbone.id,
        licence="-" if backbone is None else backbone.licence,
        coverage=manifest.calibration.coverage,
    )
