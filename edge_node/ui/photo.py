"""Picture files for the screen. Blocking: the worker calls it."""

from __future__ import annotations

import io
import secrets
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_node.ui.values import Folder, Photo, Raster
from protocols.dicom import is_dicom
from protocols.imaging import (
    DECODING_ERRORS,
    TURNS,
    ImageError,
    InputSpec,
    orientation,
    oriented_size,
    to_rgb,
)
from protocols.pictures import open_picture

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm", ".dicom")
_SHOWN_PX = 900  # the longer side of the copy on the screen
_MOST_FILES = 2000
_QUALITY = 95


def load(path: Path, frame: int | None = None) -> Photo:
    """Open a picture; of a file with several the first, unless ``frame`` (from 1) says which.

    Raises:
        ImageError: ``image.*``.
        OSError: it cannot be read.
    """
    try:
        return _load(path, frame)
    except ImageError as error:
        if error.code != "image.several_frames":
            raise
        return replace(_load(path, 1), frames=int(error.details["frames"]))


def _load(path: Path, frame: int | None) -> Photo:
    notes = ("dicom",) if is_dicom(path) else ()
    with open_picture(path, frame) as image:
        width, height = oriented_size(image)
        turn = orientation(image)
        raw_width, raw_height = image.size
        share = min(1.0, _SHOWN_PX / max(raw_width, raw_height))
        size = (max(1, round(raw_width * share)), max(1, round(raw_height * share)))
        image.draft(None, size)
        try:
            small = to_rgb(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        except DECODING_ERRORS as error:
            raise ImageError("image.unreadable") from error
    if turn in TURNS:
        small = small.transpose(TURNS[turn])
    return Photo(path, width, height, Raster(*small.size, small.tobytes()), notes, frame)


def shown(data: bytes) -> Raster:
    """A kept copy for the screen.

    Raises:
        ImageError: it is damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as image:
            picture = image.convert("RGB")
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    picture.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return Raster(*picture.size, picture.tobytes())


def as_shown(pixels: NDArray[np.float32], spec: InputSpec) -> Raster:
    """The model's own input [1, edge, edge, 3] as a picture."""
    low, high = spec.value_range
    levels = np.rint((pixels[0] - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8)
    return Raster(spec.edge_px, spec.edge_px, levels.tobytes())


def keep(frame: Raster, folder: Path) -> Path:
    """Write a camera's frame as JPEG without any metadata."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{secrets.token_hex(8)}.jpg"
    Image.frombytes("RGB", (frame.width, frame.height), frame.rgb).save(path, "JPEG", quality=_QUALITY)
    return path


def list_folder(path: Path) -> Folder:
    """Subfolders and pictures, hidden ones left out, in the order of their names.

    Raises:
        OSError: it cannot be read.
    """
    folders, files = [], []
    for item in path.iterdir():
        if item.name.startswith("."):
            continue
        if item.is_dir():
            folders.append(item.name)
        elif item.suffix.lower() in SUFFIXES or (not item.suffix and _is_dicom(item)):
            files.append(item.name)
    folders.sort(key=str.casefold)
    files.sort(key=str.casefold)
    return Folder(path, tuple(folders[:_MOST_FILES]), tuple(files[:_MOST_FILES]), len(files) > _MOST_FILES)


def _is_dicom(path: Path) -> bool:
    """Discs of pictures name them without an ending."""
    try:
        return is_dicom(path)
    except OSError:
        return False


def usual_folder() -> Path:
    """Where people keep pictures."""
    for name in ("Pictures", "图片", "DCIM", "Documents"):
        if (folder := Path.home() / name).is_dir():
            return folder
    return Path.home()
