"""DICOM files as plain pictures: pixels only, nothing else of the file goes on. Needs the ``dicom`` extra. Blocking."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
from PIL import Image

from edge_node.ui.errors import UiError
from protocols.imaging import MAX_PIXELS, ImageError

SUFFIXES = (".dcm", ".dicom")
_MAGIC_AT, _MAGIC = 128, b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether the file says that it is one.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_MAGIC_AT + len(_MAGIC))
    return start[_MAGIC_AT:] == _MAGIC or path.suffix.lower() in SUFFIXES


def convert(path: Path, folder: Path) -> Path:
    """Write the file's one picture as PNG into ``folder``, windowed as its maker asks; returns where.

    Raises:
        UiError: ``ui.dicom_missing`` without the reader, ``ui.dicom_unreadable`` for a file without one plain picture.
        ImageError: ``image.too_large`` or ``image.several_frames``.
    """
    try:
        import pydicom
        from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    except ImportError as error:
        raise UiError("ui.dicom_missing") from error
    try:
        dataset = pydicom.dcmread(path)
        frames = int(dataset.get("NumberOfFrames", 1) or 1)
        size = int(dataset.Rows) * int(dataset.Columns)
        if frames > 1:
            raise ImageError("image.several_frames", frames=frames)
        if size > MAX_PIXELS:
            raise ImageError("image.too_large", megapixels=round(size / 1e6), limit=MAX_PIXELS // 1_000_000)
        pixels = np.asarray(dataset.pixel_array)
        if pixels.ndim == 2:
            shown = np.asarray(apply_voi_lut(apply_modality_lut(pixels, dataset), dataset), dtype=np.float64)
            low, high = float(shown.min()), float(shown.max())
            levels = (shown - low) / max(high - low, 1e-9) * 255
            if dataset.PhotometricInterpretation == "MONOCHROME1":
                levels = 255 - levels
            image = Image.fromarray(levels.round().astype(np.uint8))
        elif pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
            image = Image.fromarray(pixels)
        else:
            raise UiError("ui.dicom_unreadable")
    except (ImageError, UiError):
        raise
    except Exception as error:  # pydicom and its decoders raise what they like for damaged files
        raise UiError("ui.dicom_unreadable") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder / f"{secrets.token_hex(8)}.png"
    image.save(made, "PNG", compress_level=1)
    return made
