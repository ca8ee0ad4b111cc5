"""What the presenter asks of the rest of the node. ``wiring`` adapts the real services; tests bring fakes.

Every method is a coroutine that may be awaited on the user interface's loop: an adapter does its blocking work elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_node.ui.values import (
    Answers,
    Card,
    DeviceReport,
    DiseasePage,
    Finding,
    Folder,
    Heat,
    Kept,
    KnowledgeHit,
    Membership,
    Neighbour,
    PastCase,
    Photo,
    Prepared,
    Raster,
    Shelf,
    Words,
)
from protocols.errors import Language
from protocols.imaging import Box

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


class Library(Protocol):
    """The models: in the coordinator's list and on this device."""

    async def here(self) -> Shelf:
        """What is on this device alone, as fast as it can be had."""
        ...

    async def shelf(self, *, ask: bool) -> Shelf:
        """All models; with ``ask`` the coordinator is asked first, else nobody is."""
        ...

    async def card(self, disease: str, model: str) -> Card | None:
        """What the model on this device says of itself; None where there is none."""
        ...

    async def pull(self, disease: str, model: str, progress: Progress, *, over_budget: bool = False) -> None:
        """Fetch, verify, test and bring into use; ``over_budget``: whatever the month's budget says.

        Raises:
            MedMeshError: what was in use before still is.
        """
        ...

    async def remove(self, disease: str, model: str) -> None:
        """Delete a model from this device."""
        ...


class Enrolment(Protocol):
    """Joining a coordinator."""

    async def join(self, invite: str, name: str) -> Membership:
        """Enrol by the invite's text.

        Raises:
            MedMeshError: refused or unreachable; the former membership stays.
        """
        ...

    async def read_code(self, picture: Path) -> str:
        """The text of the QR code in a picture.

        Raises:
            MedMeshError: there is none, or it cannot be read here.
        """
        ...

    async def leave(self) -> None:
        """Forget the membership; models stay."""
        ...


class Pictures(Protocol):
    """Files on this device."""

    async def folder(self, path: Path | None) -> Folder:
        """What a folder offers; None: where people keep pictures."""
        ...

    async def open(self, path: Path, frame: int | None = None) -> Photo:
        """A picture, ready to be shown; DICOM files too where their reader is installed.

        Of a file with several pictures it is the first, or that with the number ``frame`` (from 1).

        Raises:
            MedMeshError: it cannot be used.
        """
        ...

    async def keep(self, frame: Raster) -> Path:
        """Write a camera's frame as a picture file inside the node's home."""
        ...


class Recognition(Protocol):
    """The models at work."""

    async def warm_up(self, disease: str, model: str | None) -> None:
        """Load what recognising will need, so that the first answer comes as fast as the second."""
        ...

    async def prepare(self, photo: Photo, crop: Box | None, disease: str, model: str | None) -> Prepared:
        """What the model would see."""
        ...

    async def recognise(self, photo: Photo, crop: Box | None, disease: str | None, model: str | None) -> Answers:
        """Answers of one disease's model, or (None) of every model on this device.

        Raises:
            MedMeshError: the picture or a model cannot be used.
        """
        ...


class CropSuggestion(Protocol):
    """Where the interesting part of a picture is."""

    async def suggest(self, photo: Photo, disease: str | None, model: str | None) -> Box | None:
        """A region within the picture where that model finds what it knows, or (None) any plain rectangle.

        None: nothing better than all of it.
        """
        ...


class Explainer(Protocol):
    """Which places of the picture speak for an answer."""

    async def explain(self, photo: Photo, crop: Box | None, finding: Finding) -> Heat | None:
        """The evidence for the likeliest label; None where the model cannot tell."""
        ...


class Knowledge(Protocol):
    """The disease knowledge base on this device."""

    async def entries(self) -> list[KnowledgeHit]:
        """All entries, by name."""
        ...

    async def search(self, text: str, limit: int, language: Language) -> list[KnowledgeHit]:
        """Best first."""
        ...

    async def page(self, entry_id: str) -> DiseasePage | None:
        """One entry; None: there is none."""
        ...


class History(Protocol):
    """Results kept on this device, and the clinician's word on them."""

    async def record(self, photo: Photo, crop: Box | None, finding: Finding) -> Kept:
        """Keep a result."""
        ...

    async def find(self, limit: int) -> list[PastCase]:
        """The latest first.

        Raises:
            MedMeshError: the history cannot be opened.
        """
        ...

    async def get(self, result: str) -> PastCase | None:
        """One result with its whole answer; None: it is gone."""
        ...

    async def confirm(self, result: str, label: str) -> None:
        """The clinician's word: the picture stays here, the label is queued for the coordinator."""
        ...


class FrameSource(Protocol):
    """A camera."""

    async def open(self) -> None:
        """Switch it on.

        Raises:
            MedMeshError: there is none.
        """
        ...

    async def frame(self) -> Raster:
        """The present picture."""
        ...

    async def close(self) -> None:
        """Switch it off; idempotent."""
        ...


class Device(Protocol):
    """The device and its surroundings."""

    async def report(self) -> DeviceReport:
        """What it is and holds; asks nobody."""
        ...

    async def sync(self) -> None:
        """Bring list, models and knowledge base up to date, and send what waits.

        Raises:
            MedMeshError: not now; everything stays as it was.
        """
        ...

    async def pin(self, disease: str, model: str, *, pinned: bool) -> None:
        """Keep a model even when space runs short, or no longer."""
        ...

    async def readmit(self, release: str) -> None:
        """Let a release that was set aside run again.

        Raises:
            MedMeshError: it was not.
        """
        ...

    async def neighbours(self) -> Sequence[Neighbour]:
        """Who can be heard on the local network."""
        ...

    async def settings(self) -> dict[str, str]:
        """The node's settings as text."""
        ...

    async def set(self, key: str, text: str) -> None:
        """Change one.

        Raises:
            MedMeshError: it does not fit.
        """
        ...


class Referrals(Protocol):
    """Sheets of paper for the next clinician."""

    async def write(self, finding: Finding, name: Words, language: Language) -> Path:
        """Write a referral sheet as PDF inside the node's home; returns where."""
        ...


class Vault(Protocol):
    """The PIN, and the case references behind it. Nothing of it ever leaves the device."""

    async def is_locked(self) -> bool:
        """Whether a PIN is set and was not given yet."""
        ...

    async def has_pin(self) -> bool:
        """Whether a PIN is set."""
        ...

    async def unlock(self, pin: str) -> None:
        """Open with the PIN.

        Raises:
            UiError: ``ui.pin_wrong``, or ``ui.pin_wait`` while too many wrong ones were tried.
        """
        ...

    async def lock(self) -> None:
        """Forget the key until the PIN is given again."""
        ...

    async def set_pin(self, pin: str | None) -> None:
        """Set, change or (None) remove the PIN of an open vault.

        Raises:
            UiError: ``ui.pin_form``.
        """
        ...

    async def set_aside(self) -> None:
        """Start with an empty vault; the former one stays encrypted beside it."""
        ...

    async def references(self) -> dict[str, str]:
        """Case references by result id."""
        ...

    async def set_reference(self, result: str, text: str) -> None:
        """Note the clinic's own reference for a result; empty: none."""
        ...


class Preferences(Protocol):
    """The few choices that the app itself remembers."""

    def language(self) -> Language:
        """The language to start in."""
        ...

    async def set_language(self, language: Language) -> None:
        """Remember it."""
        ...


@dataclass(frozen=True)
class Services:
    """Everything the presenter works with. What is None is not available on this device, and screens say so."""

    library: Library
    enrolment: Enrolment
    pictures: Pictures
    recognition: Recognition
    knowledge: Knowledge
    device: Device
    vault: Vault
    preferences: Preferences
    referrals: Referrals
    history: History | None = None
    crops: CropSuggestion | None = None
    explainer: Explainer | None = None
    camera: FrameSource | None = None
