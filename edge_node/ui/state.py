"""Everything that the screens show, as one frozen value. The presenter replaces it; widgets only read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_node.ui.values import (
    Answers,
    Card,
    DeviceReport,
    DiseasePage,
    Finding,
    Folder,
    Heat,
    KnowledgeHit,
    Membership,
    Neighbour,
    PastCase,
    Photo,
    Prepared,
    Raster,
    Shelf,
)
from protocols.errors import Language, MedMeshError
from protocols.imaging import Box

Screen = Literal[
    "home",
    "join",
    "sheet",
    "source",
    "check",
    "result",
    "screening",
    "page",
    "browser",
    "history",
    "case",
    "device",
    "settings",
    "pin",
]


@dataclass(frozen=True)
class Download:
    """A model on its way."""

    disease: str
    model: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class SheetState:
    """The models of one disease. ``over_budget``: the release that the month's budget does not hold any more."""

    disease: str = ""
    cards: tuple[tuple[str, Card], ...] = ()  # by model
    download: Download | None = None
    over_budget: str | None = None


@dataclass(frozen=True)
class JoinState:
    """Joining a coordinator."""

    text: str = ""
    busy: bool = False
    joined: Membership | None = None


@dataclass(frozen=True)
class PhotoState:
    """From a file or camera to what the model will see.

    Attributes:
        disease: what is looked for; None: every disease with a model on this device.
        box: the chosen region in the picture's own pixels.
        suggested: the region proposed by the device; None: none.
        suggesting: whether it is still looked for.
        purpose: what a chosen file is for.
    """

    disease: str | None = None
    model: str | None = None
    purpose: Literal["recognise", "invite"] = "recognise"
    folder: Folder | None = None
    photo: Photo | None = None
    box: Box | None = None
    suggested: Box | None = None
    suggesting: bool = False
    prepared: Prepared | None = None
    camera_on: bool = False
    frame: Raster | None = None
    opening: bool = False
    recognising: bool = False


@dataclass(frozen=True)
class ResultState:
    """One answer, and what the clinician did with it."""

    finding: Finding | None = None
    photo: Photo | None = None
    box: Box | None = None
    prepared: Prepared | None = None
    kept: Raster | None = None  # of a result of the history
    heat: Heat | None = None
    explaining: bool = False
    confirmed: str | None = None
    key_in_file: bool = False  # this was the first result kept, and its key lies in a file
    reference: str = ""
    sheet: Path | None = None


@dataclass(frozen=True)
class BrowserState:
    """The knowledge base without a photo."""

    query: str = ""
    hits: tuple[KnowledgeHit, ...] | None = None
    page: DiseasePage | None = None


@dataclass(frozen=True)
class HistoryState:
    """Past results."""

    query: str = ""
    cases: tuple[PastCase, ...] | None = None
    references: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class DeviceState:
    """The device."""

    report: DeviceReport | None = None
    syncing: bool = False
    synced: bool = False
    neighbours: tuple[Neighbour, ...] | None = None
    listening: bool = False
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PinState:
    """The PIN pad. ``mode``: what the typed PIN is for."""

    mode: Literal["unlock", "set", "repeat"] = "unlock"
    typed: int = 0  # how many digits; the digits themselves are not part of any state
    is_set: bool = False
    checking: bool = False
    forgotten: bool = False


@dataclass(frozen=True)
class AppState:
    """The whole app."""

    language: Language = "en"
    route: tuple[Screen, ...] = ("home",)
    locked: bool = False
    failure: MedMeshError | None = None
    shelf: Shelf | None = None
    refreshing: bool = False
    sheet: SheetState = SheetState()
    join: JoinState = JoinState()
    photo: PhotoState = PhotoState()
    result: ResultState = ResultState()
    screening: Answers = field(default_factory=Answers)
    browser: BrowserState = BrowserState()
    history: HistoryState = HistoryState()
    device: DeviceState = DeviceState()
    pin: PinState = PinState()

    @property
    def screen(self) -> Screen:
        """What is shown now."""
        return "pin" if self.locked else self.route[-1]
