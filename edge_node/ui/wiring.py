"""The app's ports on the real services of the node. Everything runs on the worker, nothing on the screen's thread."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edge_node import VERSION
from edge_node.bootstrap import Edge, LocalCache, utc_now
from edge_node.errors import EdgeError, NotEnrolledError
from edge_node.ui import photo as photos
from edge_node.ui import qr, referral
from edge_node.ui.camera import find_camera
from edge_node.ui.errors import UiError
from edge_node.ui.findings import disease_page
from edge_node.ui.findings import finding as read_finding
from edge_node.ui.ports import Progress, Services
from edge_node.ui.preferences import FilePreferences
from edge_node.ui.values import (
    Card,
    DeviceReport,
    DiseasePage,
    Finding,
    Folder,
    Freshness,
    Heat,
    KnowledgeHit,
    Membership,
    Neighbour,
    Offer,
    PastCase,
    Photo,
    Prepared,
    Raster,
    Shelf,
    Words,
)
from edge_node.ui.vault import Vault
from edge_node.ui.worker import Worker
from protocols.errors import Language, MedMeshError
from protocols.imaging import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from disease_kb.store import KnowledgeBase
    from edge_node.outbox.history import Remembered
    from edge_node.trust.feed import Snapshot
    from edge_node.trust.standing import Standing
    from edge_node.worker.guard import GuardedRecognition
    from protocols.manifest import ReleaseManifest

T = TypeVar("T")
_LISTEN_S = 3.0
_MOST_PROBLEMS = 5
_WARMING_PX = 64


class Node:
    """The open node that all adapters share. Its coroutines run on the worker only."""

    def __init__(self, home: Path) -> None:
        self.edge = Edge(home)
        self.folder = self.edge.paths.root / "ui"
        self._open = AsyncExitStack()
        self._local: LocalCache | None = None
        self._knowledge: KnowledgeBase | None = None
        self._recognition: GuardedRecognition | None = None
        self._opening = asyncio.Lock()

    async def local(self) -> LocalCache:
        """The cache; opened once."""
        async with self._opening:
            if self._local is None:
                self._local = await self._open.enter_async_context(self.edge.local())
            return self._local

    async def knowledge(self) -> KnowledgeBase:
        """The replica; opened once it is there.

        Raises:
            EdgeError: ``edge.replica_absent``.
        """
        async with self._opening:
            if self._knowledge is None:
                self._knowledge = await self._open.enter_async_context(await self.edge.replica().open())
            return self._knowledge

    async def standing(self) -> Standing:
        """How current this node is."""
        return await self.edge.standing((await self.local()).store)

    async def recognition(self) -> GuardedRecognition:
        """Recognition with the replica alone: an answer must not wait for a network."""
        local = await self.local()
        if self._recognition is None:
            self._recognition = self.edge.recognition(local, ask_coordinator=False)
        return self._recognition

    async def manifests(self, disease: str | None, model: str | None) -> list[ReleaseManifest]:
        """The releases to run, with every file that running them takes verified; revoked ones are left out.

        Raises:
            EdgeError: none is here, all are revoked, or a file is damaged.
        """
        from edge_node.cache.choice import choose_installed
        from protocols.manifest import ReleaseManifest

        local, standing = await self.local(), await self.standing()
        installed = await local.store.installed()
        if disease is not None:
            chosen = [choose_installed(installed, disease, model)]
        elif not (chosen := [release for release in installed if release.active]):
            raise EdgeError("edge.nothing_installed")
        usable = [release for release in chosen if release.name not in standing.revoked]
        if not usable:
            name = chosen[0].name
            raise EdgeError("release.revoked", release=name, reason=standing.revoked[name])
        manifests = []
        for release in usable:
            await local.artifacts.require([release.manifest])
            data = local.artifacts.path(release.manifest.sha256).read_bytes()
            manifest = ReleaseManifest.from_bytes(data)
            await local.artifacts.require(manifest.needed_to_run)
            manifests.append(manifest)
        return manifests

    async def close(self) -> None:
        """Close what was opened."""
        await self._open.aclose()


class Adapter:
    """An adapter's share of the worker and the node."""

    def __init__(self, worker: Worker, node: Node) -> None:
        self._worker = worker
        self._node = node

    async def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._worker.run(make)


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

    async def pull(self, disease: str, model: str, progress: Progress) -> None:
        """Fetch a model; the failure of the knowledge base beside it is not the model's."""
        await self._run(lambda: self._pull(disease, model, progress))

    async def _pull(self, disease: str, model: str, progress: Progress) -> None:
        async with self._node.edge.online() as online:
            snapshot = await online.feed.newest()
            release = online.puller.choose(snapshot, disease, model)
            total = online.local.artifacts.unfinished_bytes(release.files)
            done = 0

            def add(size_bytes: int) -> None:
                nonlocal done
                done += size_bytes
                progress(done, total)

            await online.puller.pull(snapshot, release, add)

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
            )
        )
    for (disease, name), release in active.items():
        revoked = standing.revoked.get(release.name)
        offers.append(Offer(disease, name, release.version, active_version=release.version, revoked=revoked))
    return tuple(offers)


def freshness(standing: Standing) -> Freshness:
    """The standing in the app's own values."""
    return Freshness(
        standing.last_verified, standing.stale_days, standing.is_stale, standing.clock_behind, standing.node_revoked
    )


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


class EdgeEnrolment(Adapter):
    """Joining and leaving."""

    async def join(self, invite: str, name: str) -> Membership:
        """Enrol by the invite's text."""
        return await self._run(lambda: self._join(invite, name))

    async def _join(self, invite: str, name: str) -> Membership:
        import platform

        from protocols.invite import Invite

        identity = await self._node.edge.join(Invite.decode(invite), name or platform.node() or "node")
        return Membership(identity.node, identity.name, identity.coordinator)

    async def read_code(self, picture: Path) -> str:
        """The text of a QR code."""
        return await self._worker.call(_readable(qr.read), picture)

    async def leave(self) -> None:
        """Delete the node's key and its coordinator; a new invite is needed from then on."""
        await self._worker.call(shutil.rmtree, self._node.edge.paths.identity, True)


class FilePictures(Adapter):
    """Picture files."""

    async def folder(self, path: Path | None) -> Folder:
        """List a folder."""

        def listed() -> Folder:
            try:
                return photos.list_folder(path or photos.usual_folder())
            except OSError as error:
                raise UiError("ui.folder_unreadable") from error

        return await self._worker.call(listed)

    async def open(self, path: Path) -> Photo:
        """Open a picture."""
        return await self._worker.call(_readable(photos.load), path, self._node.folder / "pictures")

    async def keep(self, frame: Raster) -> Path:
        """Write a camera's frame."""
        return await self._worker.call(photos.keep, frame, self._node.folder / "pictures")


def _readable(function: Callable[..., T]) -> Callable[..., T]:
    """Let a file that cannot be read fail with a sentence of ours."""

    def guarded(*arguments: Any) -> T:
        try:
            return function(*arguments)
        except OSError as error:
            raise EdgeError("edge.image_unreadable", problem=error.strerror or type(error).__name__) from error

    return guarded


class EdgeRecognition(Adapter):
    """The installed models."""

    async def warm_up(self, disease: str, model: str | None) -> None:
        """Load the model by running it once over a grey square."""
        await self._run(lambda: self._warm_up(disease, model))

    async def _warm_up(self, disease: str, model: str | None) -> None:
        manifests = await self._node.manifests(disease, model)
        service = await self._node.recognition()
        square = self._node.folder / "warm-up.png"
        if not square.exists():
            await asyncio.to_thread(_grey_square, square)
        await service.recognise([square], manifests, None, None)

    async def prepare(self, photo: Photo, crop: Box | None, disease: str, model: str | None) -> Prepared:
        """What the model would see, by the one function that prepares it."""
        return await self._run(lambda: self._prepare(photo, crop, disease, model))

    async def _prepare(self, photo: Photo, crop: Box | None, disease: str, model: str | None) -> Prepared:
        manifest = (await self._node.manifests(disease, model))[0]
        return await asyncio.to_thread(_readable(prepared), photo.path, crop, manifest)

    async def recognise(self, photo: Photo, crop: Box | None, disease: str | None, model: str | None) -> list[Finding]:
        """Answers, most worrying first when there are several."""
        return await self._run(lambda: self._recognise(photo, crop, disease, model))

    async def _recognise(self, photo: Photo, crop: Box | None, disease: str | None, model: str | None) -> list[Finding]:
        manifests = await self._node.manifests(disease, model)
        found = await (await self._node.recognition()).recognise([photo.path], manifests, crop, None)
        if found.failures:
            raise found.failures[0]
        return [read_finding(document) for document in found.results]


def prepared(path: Path, crop: Box | None, manifest: ReleaseManifest) -> Prepared:
    """The model's input as a picture, judged by the model's limits. Blocking."""
    from protocols.imaging import measure_quality, open_image, prepare
    from protocols.recognition import quality_faults

    with open_image(path) as image:
        pixels = prepare(image, manifest.input, crop)
    faults = quality_faults(measure_quality(pixels, manifest.input), manifest.quality)
    return Prepared(photos.as_shown(pixels, manifest.input), faults)


def _grey_square(path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    Image.new("RGB", (_WARMING_PX, _WARMING_PX), (128, 128, 128)).save(path)


class ReplicaReader(Adapter):
    """The knowledge base's replica."""

    async def entries(self) -> list[KnowledgeHit]:
        """All entries, by name."""
        return await self._run(self._entries)

    async def _entries(self) -> list[KnowledgeHit]:
        found = await (await self._node.knowledge()).entries()
        hits = [
            KnowledgeHit(
                entry.id,
                {"zh": entry.name.zh, "en": entry.name.en},
                entry.urgency.level if entry.urgency else "none",
                entry.review.status,
            )
            for entry in found
            if entry.kind == "disease"
        ]
        return sorted(hits, key=lambda hit: hit.name["en"].casefold())

    async def search(self, text: str, limit: int, language: Language) -> list[KnowledgeHit]:
        """What fits, best first, with the place that fits."""
        return await self._run(lambda: self._search(text, limit, language))

    async def _search(self, text: str, limit: int, language: Language) -> list[KnowledgeHit]:
        hits = await (await self._node.knowledge()).search(text, limit)
        found = []
        for hit in hits:
            snippets = sorted(hit.snippets, key=lambda s: s.language != language)
            snippet = snippets[0].text if snippets else ""
            found.append(KnowledgeHit(hit.id, hit.name, hit.urgency, hit.review_status, snippet))  # type: ignore[arg-type]
        return found

    async def page(self, entry_id: str) -> DiseasePage | None:
        """One entry."""
        return await self._run(lambda: self._page(entry_id))

    async def _page(self, entry_id: str) -> DiseasePage | None:
        from disease_kb.diagnosis import diagnosis_aid

        entry = await (await self._node.knowledge()).get(entry_id)
        return None if entry is None else disease_page(diagnosis_aid(entry))


class EdgeDevice(Adapter):
    """Status, sync, neighbours, settings."""

    async def report(self) -> DeviceReport:
        """What this node is and holds."""
        return await self._run(self._report)

    async def _report(self) -> DeviceReport:
        node, local = self._node, await self._node.local()
        version: str | None = None
        with suppress(MedMeshError):
            version = await (await node.knowledge()).version()
        installed = [release for release in await local.store.installed() if release.active]
        events = await local.store.events()
        return DeviceReport(
            version=VERSION,
            membership=self._membership(),
            freshness=freshness(await node.standing()),
            bytes_stored=await asyncio.to_thread(local.artifacts.total_bytes),
            bytes_free=shutil.disk_usage(node.edge.paths.root).free,
            bytes_received=node.edge.traffic.document(),
            knowledge_version=version,
            installed=tuple((r.disease, r.name, sum(a.size_bytes for a in r.files)) for r in installed),
            problems=tuple(event.message for event in events[:_MOST_PROBLEMS]),
            waiting=(await node.edge.outbox().counts()).queued,
        )

    def _membership(self) -> Membership | None:
        from edge_node.identity.renewal import certificate_end

        try:
            identity = self._node.edge.identity()
            end: datetime | None = certificate_end(identity)
        except EdgeError:
            return None
        return Membership(identity.node, identity.name, identity.coordinator, end)

    async def sync(self) -> None:
        """Renew, verify, update, send."""
        await self._run(self._sync)

    async def _sync(self) -> None:
        with suppress(EdgeError):  # there is time: the next sync brings the next attempt
            await self._node.edge.renew_when_due()
        async with self._node.edge.online() as online:
            snapshot = await online.feed.refresh()
            await online.puller.update_installed(snapshot)
            await online.puller.update_knowledge(snapshot)
        delivery = await self._node.edge.deliver()
        if delivery.failure is not None:
            raise delivery.failure

    async def neighbours(self) -> Sequence[Neighbour]:
        """Listen for a while."""
        return await self._run(self._neighbours)

    async def _neighbours(self) -> Sequence[Neighbour]:
        from edge_node.discovery.trust import assess

        edge = self._node.edge
        heard = await edge.browser(edge.config.interfaces).listen(_LISTEN_S)
        found = await assess(heard, *edge.probe())
        return [
            Neighbour(f.announcement.role, f"{f.announcement.host}:{f.announcement.port}", f.announcement.id, f.trusted)
            for f in found
        ]

    async def settings(self) -> dict[str, str]:
        """The node's settings as text."""
        return {key: str(value).lower() for key, value in self._node.edge.config.document().items()}

    async def set(self, key: str, text: str) -> None:
        """Change one; threads and time limits count from the next start on."""
        await self._worker.call(self._set, key, text)

    def _set(self, key: str, text: str) -> None:
        import tomli_w

        from edge_node.config import read_config
        from edge_node.files import write_atomic

        path = self._node.edge.paths.config
        kept = read_config(path.read_bytes() if path.exists() else b"", {})
        changed = kept.changed(key, text)
        write_atomic(path, tomli_w.dumps(changed.document()).encode())
        self._node.edge.config = changed


class EdgeHistory(Adapter):
    """The history of results, encrypted by its own key."""

    async def record(self, photo: Photo, crop: Box | None, finding: Finding) -> str:
        """Keep a result."""
        return await self._run(lambda: self._record(finding))

    async def _record(self, finding: Finding) -> str:
        async with self._node.edge.outbox().history(create=True) as history:
            (saved,) = await history.save([dict(finding.document)])
        return str(saved["id"])

    async def find(self, limit: int) -> list[PastCase]:
        """The latest results."""
        return await self._run(lambda: self._find(limit))

    async def _find(self, limit: int) -> list[PastCase]:
        if not self._node.edge.paths.outbox.exists():
            return []
        async with self._node.edge.outbox().history() as history:
            return [past_case(item) for item in (await history.search(None, None, limit)).results]

    async def get(self, result: str) -> PastCase | None:
        """One result, whole."""
        return await self._run(lambda: self._get(result))

    async def _get(self, result: str) -> PastCase | None:
        async with self._node.edge.outbox().history() as history:
            item = await history.show(result)
        return replace(past_case(item), finding=read_finding(item.result))

    async def confirm(self, result: str, label: str) -> None:
        """Keep the clinician's word and queue it."""
        await self._run(lambda: self._confirm(result, label))

    async def _confirm(self, result: str, label: str) -> None:
        async with self._node.edge.outbox().history() as history:
            await history.confirm(result, label)


def past_case(item: Remembered) -> PastCase:
    """A result of the history in the app's own values."""
    names: dict[str, Words] = {label["label"]: label["name"] for label in item.result["labels"]}
    confirmed = None if item.word is None else item.word.label
    return PastCase(
        id=item.id,
        when=item.made,
        disease=item.result["disease"],
        outcome=item.result["outcome"],
        name=next(iter(names.values())),
        confirmed=confirmed,
        confirmed_name=names.get(confirmed or "", {}),
        sent=item.state == "sent",
    )


class EvidenceMaps(Adapter):
    """Evidence for the likeliest label, drawn over the square that the model saw."""

    async def explain(self, photo: Photo, crop: Box | None, finding: Finding) -> Heat | None:
        """The map, or None where the model cannot tell where."""
        return await self._run(lambda: self._explain(photo, crop, finding))

    async def _explain(self, photo: Photo, crop: Box | None, finding: Finding) -> Heat | None:
        manifest = (await self._node.manifests(finding.disease, finding.release))[0]
        maps = await (await self._node.recognition()).heat(photo.path, manifest, crop)
        if maps is None:
            return None
        return await asyncio.to_thread(_tinted, maps[finding.top.label], manifest.input.edge_px)


def _tinted(heat: NDArray[np.float32], edge_px: int) -> Heat:
    from edge_node.recognition.overlay import tint

    picture = tint(heat, edge_px, (edge_px, edge_px))
    return Heat(picture.width, picture.height, picture.tobytes())


class PlainCrops:
    """The region that stands out of a plain ground, found on the small copy of the picture."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def suggest(self, photo: Photo) -> Box | None:
        """A region in pixels of the picture."""
        return await self._worker.call(_suggested, photo)


def _suggested(photo: Photo) -> Box | None:
    import numpy

    from edge_node.capture.crop import suggest_crop

    shown = photo.shown
    picture = numpy.frombuffer(shown.rgb, dtype=numpy.uint8).reshape(shown.height, shown.width, 3)
    box = suggest_crop(picture, None)
    if box is None:
        return None
    across, down = photo.width / shown.width, photo.height / shown.height
    return Box(round(box.x * across), round(box.y * down), round(box.width * across), round(box.height * down))


class WorkerVault:
    """The vault, on the worker's threads: scrypt takes a tenth of a second."""

    def __init__(self, worker: Worker, vault: Vault) -> None:
        self._worker = worker
        self._vault = vault

    async def is_locked(self) -> bool:
        """Whether the PIN is needed now."""
        return await self._worker.call(self._vault.is_locked)

    async def has_pin(self) -> bool:
        """Whether a PIN is set."""
        return await self._worker.call(self._vault.has_pin)

    async def unlock(self, pin: str) -> None:
        """Open with the PIN."""
        await self._worker.call(self._vault.unlock, pin)

    async def lock(self) -> None:
        """Forget the key."""
        await self._worker.call(self._vault.lock)

    async def set_pin(self, pin: str | None) -> None:
        """Set, change or remove the PIN."""
        await self._worker.call(self._vault.set_pin, pin)

    async def set_aside(self) -> None:
        """Begin with an empty vault."""
        await self._worker.call(self._vault.set_aside)

    async def references(self) -> dict[str, str]:
        """Case references by result id."""
        return await self._worker.call(self._vault.references)

    async def set_reference(self, result: str, text: str) -> None:
        """Note a reference."""
        await self._worker.call(self._vault.set_reference, result, text)


def _in_child(asked: bytes) -> str:
    command = [sys.executable, "-m", "edge_node.ui.referral"]
    done = subprocess.run(command, input=asked, capture_output=True, check=True)
    return done.stdout.decode()


class PdfReferrals(Adapter):
    """Referral sheets."""

    async def write(self, finding: Finding, name: Words, language: Language) -> Path:
        """Write a sheet into the node's home."""
        folder = self._node.folder / "referrals"
        asked = referral.describe(finding, name, language, utc_now(), folder)
        return Path(await self._worker.call(_in_child, asked))


def _load() -> None:
    """Import what the first use would otherwise import in the middle of a tap."""
    for name in ("numpy", "PIL.JpegImagePlugin", "disease_kb.diagnosis", "edge_node.outbox.history", "keyring"):
        import_module(name)
    for name in ("edge_node.knowledge.replica", "edge_node.recognition.overlay", "edge_node.worker.guard"):
        import_module(name)


async def services(
    home: Path, worker: Worker, language: Language
) -> tuple[Services, Callable[[], Coroutine[Any, Any, None]]]:
    """Everything that the presenter works with, and how to close it."""

    async def make() -> Node:
        return Node(home)

    node = await worker.run(make)

    async def close() -> None:
        await asyncio.gather(loading, return_exceptions=True)
        await worker.run(node.close)

    loading = asyncio.ensure_future(worker.call(_load))

    parts = (worker, node)
    return (
        Services(
            library=EdgeLibrary(*parts),
            enrolment=EdgeEnrolment(*parts),
            pictures=FilePictures(*parts),
            recognition=EdgeRecognition(*parts),
            knowledge=ReplicaReader(*parts),
            device=EdgeDevice(*parts),
            vault=WorkerVault(worker, Vault(node.folder / "vault", utc_now)),
            preferences=FilePreferences(node.folder / "preferences.json", language, worker),
            referrals=PdfReferrals(*parts),
            history=EdgeHistory(*parts),
            crops=PlainCrops(worker),
            explainer=EvidenceMaps(*parts),
            camera=find_camera(worker),
        ),
        close,
    )
