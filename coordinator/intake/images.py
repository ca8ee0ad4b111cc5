"""Checking one image and making the copy that is kept: upright, RGB or grey, re-encoded, without any metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coordinator.store.blobs import FolderBlobs
from protocols.imaging import DECODING_ERRORS, TURNS, ImageError, open_image, orientation, to_rgb

LOSSLESS_EDGE_PX = 1200  # below, a node decodes at full size too, so the kept copy gives identical model input
KEPT_SHORT_EDGE_PX = 640
SMALL_EDGE_PX = 64
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Wanted:
    """One file to check, and how."""

    path: Path
    blobs: Path
    min_edge_px: int
    first_frame: bool


@dataclass(frozen=True)
class Checked:
    """What became of it. ``code`` is empty where the image is accepted."""

    code: str = ""
    reason: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    perceptual: bytes = b""
    notes: tuple[str, ...] = ()


def check(wanted: Wanted) -> Checked:
    """Check one image and store its kept copy. Runs in a worker process; never raises for a bad image."""
    try:
        with open_image(wanted.path, first_frame=wanted.first_frame) as image:
            notes = _notes(image, wanted)
            lossless = max(image.size) <= LOSSLESS_EDGE_PX
            kept = upright(image)
        level = np.asarray(kept.convert("L").resize((64, 64)))
        if level.max() <= 2 or level.min() >= 253:
            raise ImageError("image.blank", level="black" if level.max() <= 2 else "white")
        data = encode(kept, lossless)
    except ImageError as error:
        return Checked(error.code, {"en": error.message("en"), "zh": error.message("zh")})
    sha256 = FolderBlobs(wanted.blobs).put(data)
    return Checked(sha256=sha256, perceptual=perceptual_hash(kept).tobytes(), notes=notes)


def kept_copy(path: Path) -> bytes:
    """The copy that would be kept of an image.

    Raises:
        ImageError: the image cannot be used.
    """
    with open_image(path) as image:
        lossless = max(image.size) <= LOSSLESS_EDGE_PX
        return encode(upright(image), lossless)


def _notes(image: Image.Image, wanted: Wanted) -> tuple[str, ...]:
    if image.mode == "1":
        raise ImageError("image.mask")
    least = min(image.size)
    if least < wanted.min_edge_px:
        raise ImageError("image.too_small", width=image.size[0], height=image.size[1], limit=wanted.min_edge_px)
    notes = []
    if least < SMALL_EDGE_PX:
        notes.append("small")
    if image.mode not in ("RGB", "L"):
        notes.append(f"converted from {image.mode}")
    return tuple(notes)


def upright(image: Image.Image) -> Image.Image:
    """Decode to RGB (or grey where all channels agree), turned as a person sees it, large photographs made smaller."""
    turn = orientation(image)
    full = image.size
    if max(full) > LOSSLESS_EDGE_PX:
        shrink = KEPT_SHORT_EDGE_PX / min(full)
        target = (max(1, round(full[0] * shrink)), max(1, round(full[1] * shrink)))
        image.draft(None, (2 * target[0], 2 * target[1]))
    else:
        target = full
    try:
        image.load()
        picture = to_rgb(image)
        if target != picture.size and target[0] < full[0]:
            picture = picture.resize(target, Image.Resampling.LANCZOS)
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    if turn in TURNS:
        picture = picture.transpose(TURNS[turn])
    red, green, blue = picture.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else picture


def encode(picture: Image.Image, lossless: bool) -> bytes:
    """The kept bytes: PNG, or for large photographs JPEG without chroma subsampling. Equal pixels give equal bytes."""
    clean = Image.frombytes(picture.mode, picture.size, picture.tobytes())  # leaves EXIF, comments and profiles behind
    buffer = io.BytesIO()
    if lossless:
        clean.save(buffer, "PNG", compress_level=6)
    else:
        clean.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def perceptual_hash(picture: Image.Image) -> NDArray[np.uint8]:
    """256-bit difference hash (dHash): uint8 [32]; near-duplicates differ in few bits."""
    grey = np.asarray(picture.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    return np.packbits((grey[:, 1:] > grey[:, :-1]).ravel())
