"""A node in memory: every port of the app, with answers that a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from disease_kb.diagnosis import diagnosis_aid
from disease_kb.model import Entry
from disease_kb.seeding import seed_entries
from edge_node.errors import EdgeError
from edge_node.ui import referral
from edge_node.ui.errors import UiError
from edge_node.ui.findings import disease_page, finding
from edge_node.ui.ports import Progress, Services
from edge_node.ui.values import (
    Answers,
    Card,
    DeviceReport,
    DiseasePage,
    Finding,
    Folder,
    Freshness,
    Heat,
    Kept,
    KnowledgeHit,
    Membership,
    Neighbour,
    Offer,
    PastCase,
    Photo,
    Prepared,
    Raster,
    SetAside,
    Shelf,
    Stored,
    Words,
)
from protocols.errors import Language, MedMeshError
from protocols.imaging import Box
from protocols.recognition import Outcome

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
_REASONS: dict[str, list[str]] = {
    "recognised": [],
    "unsure": ["several_labels_fit"],
    "not_this_kind_of_image": ["another_kind"],
    "poor_quality": ["blurred", "underexposed"],
}
_ENTRIES: dict[str, Entry] = {}


def entries() -> dict[str, Entry]:
    if not _ENTRIES:
        _ENTRIES.update({entry.id: entry for entry in seed_entries()})
    return _ENTRIES


@cache
def smear(width: int, height: int) -> Raster:
    """A drawn blood smear: no patient, no photograph."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.empty((height, width, 3), dtype=np.float32)
    pixels[:] = (238, 224, 228)
    chance = np.random.default_rng(7)
    radius = width / 14
    for x, y in zip(chance.uniform(0, width, 60), chance.uniform(0, height, 60), strict=True):
        distance = np.hypot(columns - x, rows - y) / radius
        pixels[distance < 1] = (214, 150, 158)
        pixels[distance < 0.45] = (226, 178, 184)
    for x, y in ((0.46, 0.5), (0.58, 0.42)):
        distance = np.hypot(columns - x * width, rows - y * height) / radius
        pixels[distance < 1] = (210, 140, 152)
        pixels[(distance > 0.25) & (distance < 0.4)] = (92, 48, 140)
    return Raster(width, height, pixels.clip(0, 255).astype(np.uint8).tobytes())


def answer(
    outcome: Outcome = "recognised", disease: str = "malaria", top: float = 0.94, instead_of: str | None = None
) -> Finding:
    """An answer as the recognition service prints it."""
    wanted = {"malaria": ("malaria", "normal-blood-cell"), "pneumonia": ("pneumonia", "normal-chest")}[disease]
    labels = ("parasitized", "uninfected") if disease == "malaria" else ("pneumonia", "normal")
    aids = [diagnosis_aid(entries()[name]) for name in wanted]
    both = outcome == "unsure"
    return finding(
        {
            "image": "smear.jpg",
            "sha256": "0" * 64,
            "disease": disease,
            "release": {"model": disease, "version": 3},
            "labels": [
                {
                    "label": labels[i],
                    "name": aids[i]["name"],
                    "kind": aids[i]["kind"],
                    "entry": wanted[i],
                    "score": score,
                }
                for i, score in enumerate((0.55, 0.45) if both else (top, 1 - top))
            ],
            "prediction_set": list(labels) if both else [labels[0]],
            "coverage": 0.9,
            "outcome": outcome,
            "reasons": _REASONS[outcome],
            "novelty": 0.4,
            "quality": {"blur": 0.2, "sharpness": 20.0, "exposure": 0.5, "ok": outcome != "poor_quality"},
            "diagnosis": {
                "source": "replica",
                "kb_version": "1",
                "entries": aids if both else aids[:1],
                "unmapped": [],
            },
            "timing_ms": {"prepare": 70.0, "infer": 35.0, "total": 105.0},
            "notice": "research use only",
            "instead_of": None if instead_of is None else {"release": instead_of, "code": "worker.model_crashed"},
        }
    )


@dataclass
class FakeLibrary:
    """Malaria is here, pneumonia can be fetched, a skin model was withdrawn."""

    offers: list[Offer] = field(
        default_factory=lambda: [
            Offer("malaria", "malaria", 3, "malaria@3", 0, 3, "Dr Li, Dr Adebayo"),
            Offer("pneumonia", "pneumonia", 2, "pneumonia@2", 22_180_000, None, "Dr Li, Dr Adebayo"),
            Offer("melanoma", "skin", 1, None, None, 1, None, revoked="Wrong on dark skin"),
        ]
    )
    fresh: Freshness = field(default_factory=lambda: Freshness(NOW - timedelta(days=3), 3))
    member: bool = True
    failure: MedMeshError | None = None
    block_s: float = 0.0
    budget_used: bool = False
    pulled: list[str] = field(default_factory=list)
    asked: int = 0

    async def here(self) -> Shelf:
        shelf = await self.shelf(ask=False)
        return replace(shelf, offers=tuple(o for o in self.offers if o.active_version is not None))

    async def shelf(self, *, ask: bool) -> Shelf:
        self.asked += ask
        names: dict[str, Words] = {
            d: {"zh": entries()[d].name.zh, "en": entries()[d].name.en} for d in ("malaria", "pneumonia", "melanoma")
        }
        return Shelf(tuple(self.offers), self.fresh, self.member, names, self.failure if ask else None)

    async def card(self, disease: str, model: str) -> Card | None:
        offer = next(o for o in self.offers if (o.disease, o.model) == (disease, model))
        if offer.active_version is None:
            return None
        release = f"{model}@{offer.active_version}"
        return Card(
            release,
            "2026-01-31",
            ("parasitized", "uninfected"),
            (0.92, 0.90, 0.94),
            1600,
            79,
            "nsfwjs-4.4.0",
            "MIT",
            0.9,
        )

    async def pull(self, disease: str, model: str, progress: Progress, *, over_budget: bool = False) -> None:
        if self.budget_used and not over_budget:
            raise EdgeError("edge.budget_used", month="2026-03", used_mb="90", wanted_mb="22", budget_mb=100)
        index = next(i for i, o in enumerate(self.offers) if (o.disease, o.model) == (disease, model))
        total = self.offers[index].bytes_needed or 0
        for tenth in range(11):
            progress(total * tenth // 10, total)
            await asyncio.sleep(self.block_s / 10)
        self.offers[index] = replace(self.offers[index], bytes_needed=0, active_version=self.offers[index].version)
        self.pulled.append(model)

    async def remove(self, disease: str, model: str) -> None:
        self.offers = [replace(o, active_version=None) if o.model == model else o for o in self.offers]


@dataclass
class FakeEnrolment:
    joined: list[str] = field(default_factory=list)
    left: int = 0
    code: str = "medmesh1.fromcode"

    async def join(self, invite: str, name: str) -> Membership:
        if not invite.startswith("medmesh1."):
            raise EdgeError("invite.malformed")
        self.joined.append(invite)
        return Membership("0123456789abcdef", "clinic", "Demo hospital network")

    async def read_code(self, picture: Path) -> str:
        if "qr" not in picture.name:
            raise UiError("ui.qr_none")
        return self.code

    async def leave(self) -> None:
        self.left += 1


@dataclass
class FakePictures:
    names: tuple[str, ...] = ("bed-4.jpg", "qr.png", "series.dcm", "smear.jpg")
    raster: Raster = field(default_factory=lambda: smear(600, 450))
    kept: int = 0

    async def folder(self, path: Path | None) -> Folder:
        return Folder(path or Path("/clinic/pictures"), ("2026-03",), self.names)

    async def open(self, path: Path, frame: int | None = None) -> Photo:
        if path.name == "broken.jpg":
            raise EdgeError("image.unreadable")
        several = path.suffix == ".dcm"
        return Photo(path, 4000, 3000, self.raster, frame=frame or 1 if several else None, frames=3 if several else 1)

    async def keep(self, frame: Raster) -> Path:
        self.kept += 1
        return Path("/clinic/camera.jpg")


@dataclass
class FakeRecognition:
    outcome: Outcome = "recognised"
    faults: tuple[Any, ...] = ()
    boxes: list[Box | None] = field(default_factory=list)
    prepared: list[Box | None] = field(default_factory=list)
    failure: MedMeshError | None = None
    set_aside: tuple[MedMeshError, ...] = ()
    instead_of: str | None = None
    delay_s: float = 0.0
    raster: Raster = field(default_factory=lambda: smear(150, 150))

    async def warm_up(self, disease: str, model: str | None) -> None:
        """Nothing to load."""

    async def prepare(self, photo: Photo, crop: Box | None, disease: str, model: str | None) -> Prepared:
        self.prepared.append(crop)
        return Prepared(self.raster, self.faults)

    async def recognise(self, photo: Photo, crop: Box | None, disease: str | None, model: str | None) -> Answers:
        self.boxes.append(crop)
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        if disease is None:
            findings = answer("recognised"), answer("not_this_kind_of_image", "pneumonia")
            return Answers(findings, self.set_aside)
        return Answers((answer(self.outcome, disease, instead_of=self.instead_of),))


@dataclass
class FakeCrops:
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    delay_s: float = 0.0

    async def suggest(self, photo: Photo, disease: str | None, model: str | None) -> Box | None:
        self.asked.append((disease, model))
        await asyncio.sleep(self.delay_s)
        return Box(1000, 750, 2000, 1500)


class FakeExplainer:
    async def explain(self, photo: Photo, crop: Box | None, finding: Finding) -> Heat | None:
        rows, columns = np.mgrid[0:17, 0:17]
        pixels = np.empty((17, 17, 4), dtype=np.uint8)
        pixels[..., :3] = (230, 159, 0)
        pixels[..., 3] = 165 * np.exp(-(((rows - 8) ** 2 + (columns - 8) ** 2) / 18))
        return Heat(17, 17, pixels.tobytes())


@dataclass
class FakeKnowledge:
    asked: list[str] = field(default_factory=list)

    async def entries(self) -> list[KnowledgeHit]:
        found = [_hit(entry) for entry in entries().values() if entry.kind == "disease"]
        return sorted(found, key=lambda hit: hit.name["en"])

    async def search(self, text: str, limit: int, language: Language) -> list[KnowledgeHit]:
        self.asked.append(text)
        word = text.casefold()
        return [_hit(e) for e in entries().values() if word in e.name.zh or word in e.name.en.casefold()][:limit]

    async def page(self, entry_id: str) -> DiseasePage | None:
        entry = entries().get(entry_id)
        return None if entry is None else disease_page(diagnosis_aid(entry))


def _hit(entry: Entry) -> KnowledgeHit:
    urgency = entry.urgency.level if entry.urgency else "none"
    return KnowledgeHit(entry.id, {"zh": entry.name.zh, "en": entry.name.en}, urgency, entry.review.status)


@dataclass
class FakeHistory:
    key_in_file: bool = False
    cases: dict[str, PastCase] = field(default_factory=dict)
    confirmed: list[tuple[str, str]] = field(default_factory=list)

    async def record(self, photo: Photo, crop: Box | None, finding: Finding) -> Kept:
        result = f"r{len(self.cases) + 1}"
        top = finding.top
        when = NOW + timedelta(minutes=len(self.cases))
        self.cases[result] = PastCase(
            result, when, finding.disease, finding.outcome, top.name, sent=False, finding=finding
        )
        return Kept(result, self.key_in_file and len(self.cases) == 1)

    async def find(self, limit: int) -> list[PastCase]:
        return [replace(case, finding=None) for case in reversed(self.cases.values())][:limit]

    async def get(self, result: str) -> PastCase | None:
        return self.cases.get(result)

    async def confirm(self, result: str, label: str) -> None:
        self.confirmed.append((result, label))
        found = self.cases[result].finding
        assert found is not None
        name: Words = next((score.name for score in found.scores if score.label == label), {})
        self.cases[result] = replace(self.cases[result], confirmed=label, confirmed_name=name)


@dataclass
class FakeCamera:
    """``gone`` is a camera that was pulled out."""

    gone: bool = False
    opened: int = 0
    closed: int = 0
    raster: Raster = field(default_factory=lambda: smear(320, 240))

    async def open(self) -> None:
        if self.gone:
            raise UiError("ui.camera_missing")
        self.opened += 1

    async def frame(self) -> Raster:
        return self.raster

    async def close(self) -> None:
        self.closed += 1


@dataclass
class FakeDevice:
    synced: int = 0
    set_aside: tuple[SetAside, ...] = ()
    key_in_file: bool = False
    pinned: set[str] = field(default_factory=set)
    failure: MedMeshError | None = None
    values: dict[str, str] = field(
        default_factory=lambda: {
            "auto_update": "true",
            "threads": "1",
            "wan_kbps": "0.0",
            "lan_kbps": "0.0",
            "metered": "false",
            "monthly_mb": "300",
            "window": "",
            "cache_quota_mb": "0",
        }
    )
    membership: Membership | None = field(
        default_factory=lambda: Membership("0123", "clinic-7", "Demo hospital network", NOW + timedelta(days=390))
    )

    async def report(self) -> DeviceReport:
        return DeviceReport(
            version="0.1.0",
            membership=self.membership,
            freshness=Freshness(NOW - timedelta(days=3), 3),
            bytes_stored=22_500_000,
            bytes_free=31_000_000_000,
            bytes_received={"metadata": 4200, "coordinator": 57_000, "peers": 22_100_000},
            knowledge_version="5f2991a0c1d2",
            stored=(Stored("malaria", "malaria", 3, 22_230_000, "malaria" in self.pinned),),
            problems=("pneumonia@1 does not give its publisher's answers on this machine.",),
            set_aside=self.set_aside,
            waiting=2,
            quota_mb=int(self.values["cache_quota_mb"]),
            key_in_file=self.key_in_file,
        )

    async def sync(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.synced += 1

    async def pin(self, disease: str, model: str, *, pinned: bool) -> None:
        self.pinned = self.pinned | {model} if pinned else self.pinned - {model}

    async def readmit(self, release: str) -> None:
        self.set_aside = tuple(item for item in self.set_aside if item.release != release)

    async def neighbours(self) -> Sequence[Neighbour]:
        return [
            Neighbour("coordinator", "192.168.1.10:8765", "a1", True),
            Neighbour("node", "192.168.1.23:8790", "b2", False),
        ]

    async def settings(self) -> dict[str, str]:
        return dict(self.values)

    async def set(self, key: str, text: str) -> None:
        self.values[key] = text


@dataclass
class FakeVault:
    pin: str | None = None
    open: bool = True
    known: dict[str, str] = field(default_factory=dict)
    put_aside: int = 0

    async def is_locked(self) -> bool:
        return self.pin is not None and not self.open

    async def has_pin(self) -> bool:
        return self.pin is not None

    async def unlock(self, pin: str) -> None:
        if pin != self.pin:
            raise UiError("ui.pin_wrong", left=4)
        self.open = True

    async def lock(self) -> None:
        self.open = False

    async def set_pin(self, pin: str | None) -> None:
        self.pin = pin

    async def set_aside(self) -> None:
        self.put_aside += 1
        self.pin, self.open, self.known = None, True, {}

    async def references(self) -> dict[str, str]:
        return dict(self.known)

    async def set_reference(self, result: str, text: str) -> None:
        self.known[result] = text


@dataclass
class FakePreferences:
    chosen: Language = "en"

    def language(self) -> Language:
        return self.chosen

    async def set_language(self, language: Language) -> None:
        self.chosen = language


@dataclass
class FakeReferrals:
    folder: Path
    written: list[Path] = field(default_factory=list)

    async def write(self, finding: Finding, name: Words, language: Language) -> Path:
        path = await asyncio.to_thread(referral.write, finding, name, language, NOW, self.folder)
        self.written.append(path)
        return path


@dataclass
class FakeNode:
    """All fakes by name, so that a test can turn one of them."""

    folder: Path
    library: FakeLibrary = field(default_factory=FakeLibrary)
    enrolment: FakeEnrolment = field(default_factory=FakeEnrolment)
    pictures: FakePictures = field(default_factory=FakePictures)
    recognition: FakeRecognition = field(default_factory=FakeRecognition)
    knowledge: FakeKnowledge = field(default_factory=FakeKnowledge)
    device: FakeDevice = field(default_factory=FakeDevice)
    vault: FakeVault = field(default_factory=FakeVault)
    preferences: FakePreferences = field(default_factory=FakePreferences)
    history: FakeHistory | None = field(default_factory=FakeHistory)
    crops: FakeCrops | None = field(default_factory=FakeCrops)
    explainer: FakeExplainer | None = field(default_factory=FakeExplainer)
    camera: FakeCamera | None = field(default_factory=FakeCamera)

    def __post_init__(self) -> None:
        self.referrals = FakeReferrals(self.folder)

    def services(self) -> Services:
        return Services(
            library=self.library,
            enrolment=self.enrolment,
            pictures=self.pictures,
            recognition=self.recognition,
            knowledge=self.knowledge,
            device=self.device,
            vault=self.vault,
            preferences=self.preferences,
            referrals=self.referrals,
            history=self.history,
            crops=self.crops,
            explainer=self.explainer,
            camera=self.camera,
        )
