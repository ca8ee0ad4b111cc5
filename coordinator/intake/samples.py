"""One image of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.intake.images import Facts


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Attributes:
        sha256: of the kept copy.
        facts, perceptual: None and empty where an image was imported before they were recorded.
        original: SHA-256 of the de-identified original, or empty.
        turn: EXIF orientation of that original.
    """

    sha256: str
    label: str
    group: str
    file: str
    facts: Facts | None = None
    perceptual: bytes = b""
    original: str = ""
    turn: int = 1
