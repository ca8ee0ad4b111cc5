"""What is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protocols.imaging import Box


@dataclass(frozen=True)
class Picture:
    """A picture file and what of it the models shall see.

    Attributes:
        file: as the user named it.
        crop: in pixels of the oriented picture; None for all of it.
        frame: which of several pictures in the file, from 1; None: it must hold one.
        is_suggested: the crop was found by this machine, not given by a person.
    """

    file: Path
    crop: Box | None = None
    frame: int | None = None
    is_suggested: bool = False
