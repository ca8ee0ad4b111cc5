"""What crosses the ports: plain values, with nothing of Kivy, SQLite or the network in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from protocols.errors import Language, MedMeshError
from protocols.imaging import Box
from protocols.recognition import Outcome, Reason

OTHER = "other"  # the clinician's word for what is none of the model's labels

Words = Mapping[Language, str]
Lines = Mapping[Language, tuple[str, ...]]


@dataclass(frozen=True)
class Freshness:
    """How current this device is, judged without asking anyone."""

    last_verified: datetime | None = None
    days: int | None = None
    is_stale: bool = False
    clock_behind: bool = False
    node_revoked: bool = False


@dataclass(frozen=True)
class Offer:
    """A model: in the coordinator's list, on this device, or both.

    Attributes:
        release: ``model@version`` that the coordinator gives to this device; None: none now.
        bytes_needed: what is still to be fetched for ``release``; None: not known.
        active_version: the version on this device; None: none.
        revoked: the publisher's reason why the one on this device must not be used.
        problem: why ``release`` cannot be used here.
        declined: why this site does not take ``release``; the one on this device stays in use.
    """

    disease: str
    model: str
    version: int = 0
    release: str | None = None
    bytes_needed: int | None = None
    active_version: int | None = None
    signer: str | None = None
    paused: bool = False
    revoked: str | None = None
    problem: MedMeshError | None = None
    declined: MedMeshError | None = None

    @property
    def ready(self) -> bool:
        """Whether it may be used now."""
        return self.active_version is not None and self.revoked is None

    @property
    def has_update(self) -> bool:
        """Whether another version than the one on this device is offered."""
        return self.active_version is not None and self.release not in (None, f"{self.model}@{self.active_version}")


@dataclass(frozen=True)
class Shelf:
    """All models, and how far the list can be relied on. ``failure``: why it is not from just now."""

    offers: tuple[Offer, ...] = ()
    freshness: Freshness = Freshness()
    member: bool = False
    names: Mapping[str, Words] = field(default_factory=dict)
    failure: MedMeshError | None = None

    def of(self, disease: str) -> tuple[Offer, ...]:
        """The models of one disease."""
        return tuple(offer for offer in self.offers if offer.disease == disease)

    @property
    def diseases(self) -> tuple[str, ...]:
        """Every disease once, those with a usable model first."""
        usable = {offer.disease for offer in self.offers if offer.ready}
        return tuple(sorted({offer.disease for offer in self.offers}, key=lambda d: (d not in usable, d)))

    def name(self, disease: str) -> Words:
        """What people call the disease; its slug made readable where nothing better is known."""
        plain = disease.replace("-", " ").capitalize()
        return self.names.get(disease, {"zh": plain, "en": plain})


@dataclass(frozen=True)
class Card:
    """What an installed release says of itself.

    Attributes:
        accuracy: balanced accuracy on patients that it was not trained on: value, low, high (95 %).
        images, groups: size of the training set, in pictures and patients.
    """

    release: str
    created: str
    labels: tuple[str, ...]
    accuracy: tuple[float, float, float] | None
    images: int | None
    groups: int | None
    backbone: str
    licence: str
    coverage: float


@dataclass(frozen=True)
class Membership:
    """Whose node this is."""

    node: str
    name: str
    coordinator: str
    certificate_end: datetime | None = None


@dataclass(frozen=True)
class Raster:
    """Pixels ready to be shown: RGB, 8 bits, rows from top to bottom."""

    width: int
    height: int
    rgb: bytes


@dataclass(frozen=True)
class Photo:
    """A picture as chosen: where it is, its size as a person sees it, and a small copy to show.

    Attributes:
        frame: which of the file's pictures, from 1; None: it holds one.
        frames: how many it holds.
    """

    path: Path
    width: int
    height: int
    shown: Raster
    notes: tuple[str, ...] = ()
    frame: int | None = None
    frames: int = 1

    @property
    def whole(self) -> Box:
        """All of it."""
        return Box(0, 0, self.width, self.height)


@dataclass(frozen=True)
class Prepared:
    """Exactly what the model will see, and what is wrong with it by the model's own limits."""

    raster: Raster
    faults: tuple[Reason, ...]


@dataclass(frozen=True)
class Heat:
    """What speaks for the answer (orange) and against it (blue), to lay over the prepared square: RGBA, 8 bits, from the top."""

    width: int
    height: int
    rgba: bytes


@dataclass(frozen=True)
class Score:
    """One label of an answer."""

    label: str
    name: Words
    kind: str
    entry: str | None
    value: float
    in_set: bool


@dataclass(frozen=True)
class DiseasePage:
    """An entry of the knowledge base as a person reads it."""

    id: str
    kind: str
    name: Words
    definition: Words
    urgency: str
    urgency_reason: Words
    symptoms: Lines
    image_signs: Lines
    red_flags: Lines
    differential: Lines
    management: Lines
    prevention: Lines
    codes: tuple[str, ...]
    citations: tuple[str, ...]
    review_status: str


@dataclass(frozen=True)
class Finding:
    """One model's answer about one picture, likeliest label first.

    Attributes:
        id: the result's own identifier in the history; empty until it is kept.
        coverage: stated probability that the prediction set holds the right label.
        instead_of: the later release that failed on this device and for which this one stands in; None: there is none.
        pages: knowledge base entries of the labels to read up on.
        document: the result as ``recognise --json`` prints it, for the history.
    """

    disease: str
    release: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    scores: tuple[Score, ...]
    coverage: float
    pages: tuple[DiseasePage, ...]
    knowledge_version: str | None
    milliseconds: float
    document: Mapping[str, Any]
    instead_of: str | None = None
    id: str = ""

    @property
    def top(self) -> Score:
        """The likeliest label."""
        return self.scores[0]

    @property
    def prediction_set(self) -> tuple[Score, ...]:
        """The labels that cannot be excluded."""
        return tuple(score for score in self.scores if score.in_set)


@dataclass(frozen=True)
class Answers:
    """What the models say about one picture. ``set_aside``: why some that were asked have no answer."""

    findings: tuple[Finding, ...] = ()
    set_aside: tuple[MedMeshError, ...] = ()


@dataclass(frozen=True)
class Kept:
    """A result in the history. ``key_in_file``: it is the first, and its key lies in a file beside it."""

    id: str
    key_in_file: bool = False


@dataclass(frozen=True)
class KnowledgeHit:
    """One line of the knowledge base's list or search results."""

    id: str
    name: Words
    urgency: str
    review_status: str
    snippet: str = ""


@dataclass(frozen=True)
class PastCase:
    """A result in the history.

    Attributes:
        name: of the likeliest label.
        confirmed: the label that the clinician gave; None: not yet. ``confirmed_name`` is its name.
        sent: whether the coordinator has it; None: not known.
        finding: the whole answer; None in lists.
        picture: the copy kept with it; None in lists, and where there is none.
    """

    id: str
    when: datetime
    disease: str
    outcome: Outcome
    name: Words
    confirmed: str | None = None
    confirmed_name: Words = field(default_factory=dict)
    sent: bool | None = None
    finding: Finding | None = None
    picture: Raster | None = None


@dataclass(frozen=True)
class Folder:
    """What can be chosen in a folder: subfolders and pictures."""

    path: Path
    folders: tuple[str, ...]
    files: tuple[str, ...]
    truncated: bool = False


@dataclass(frozen=True)
class Neighbour:
    """A coordinator or node heard on the local network."""

    role: str
    address: str
    id: str
    trusted: bool


@dataclass(frozen=True)
class Stored:
    """A model on this device. ``pinned``: it is kept even when space runs short."""

    disease: str
    model: str
    version: int
    size_bytes: int
    pinned: bool = False

    @property
    def release(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class SetAside:
    """A release that failed on this device and does not run here any more."""

    disease: str
    release: str
    since: datetime


@dataclass(frozen=True)
class DeviceReport:
    """What this device is and holds.

    Attributes:
        waiting: results not yet at the coordinator; None: not known.
        bytes_received: since the app was started, by source.
        knowledge_version: of the replica; None: no replica.
        quota_mb: most that models may take up, megabytes; 0: no quota.
        key_in_file: whether the key of the history lies in a file beside it.
    """

    version: str
    membership: Membership | None
    freshness: Freshness
    bytes_stored: int
    bytes_free: int
    bytes_received: Mapping[str, int]
    knowledge_version: str | None
    stored: tuple[Stored, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    problems: tuple[str, ...] = ()
    waiting: int | None = None
    quota_mb: int = 0
    key_in_file: bool = False
