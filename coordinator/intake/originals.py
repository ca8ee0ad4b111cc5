"""Originals that an uploader asks to keep, without what they say of a person. Blocking."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from pathlib import Path

from PIL import Image

from protocols.imaging import DECODING_ERRORS, FORMATS, ImageError

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
# Tables, frames and scans, and Adobe's word on the colours (APP14): without these a JPEG cannot be shown rightly.
_NEEDED = {0xC0, *range(0xC1, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, 0xEE}


def cleaned(path: Path, format_: str) -> bytes:
    """A file's pixels as they were, without names, places, times and texts.

    JPEG keeps its coefficients and loses all other segments, DICOM goes through dicom-anonymizer with all private elements
    removed, everything else becomes a PNG (a TIFF for 32-bit values) of the same values.

    Raises:
        ImageError: ``image.unreadable`` or ``image.dicom_unreadable``.
    """
    if format_ == "JPEG":
        return jpeg(path.read_bytes())
    if format_ == "DICOM":
        return _dicom(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            plain = Image.frombytes(image.mode, image.size, image.tobytes())
            if image.mode == "P":
                plain.putpalette(image.getpalette() or [])
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    buffer = io.BytesIO()
    if plain.mode in ("F", "CMYK", "LAB", "YCbCr"):
        plain.save(buffer, "TIFF", compression="tiff_deflate")
    else:
        plain.save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(data: bytes) -> bytes:
    """A JPEG with nothing but what its picture needs; what follows the picture (a film, a second one) goes too.

    Raises:
        ImageError: ``image.unreadable``.
    """
    kept, at = bytearray(b"\xff\xd8"), 2
    try:
        while True:
            while data[at] == 0xFF and data[at + 1] == 0xFF:
                at += 1
            if data[at] != 0xFF:
                raise ImageError("image.unreadable")
            marker = data[at + 1]
            if marker == _END:
                return bytes(kept + b"\xff\xd9")
            if marker in _BARE:
                at += 2
                continue
            end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
            if marker == _SCAN:
                end = _end_of_scan(data, end)
            if marker in _NEEDED:
                kept += data[at:end]
            at = end
    except (IndexError, struct.error) as error:
        raise ImageError("image.unreadable") from error


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the next marker stands that is no restart and no stuffed byte."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise IndexError
        if data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            return at
        at += 1 if data[at + 1] == 0xFF else 2


def _dicom(path: Path) -> bytes:
    try:
        import pydicom
        from dicomanonymizer import anonymize_dataset
    except ImportError as error:
        raise ImageError("image.dicom_missing") from error
    logging.getLogger("pydicom").propagate = False  # it may repeat what is in the header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path)
            anonymize_dataset(dataset, delete_private_tags=True)
            buffer = io.BytesIO()
            dataset.preamble = b"\0" * 128  # may hold anything, a second file among others
            dataset.save_as(buffer, enforce_file_format=True)
        except Exception as error:  # pydicom raises what it likes for damaged files
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ImageError("image.dicom_unreadable") from None
    return buffer.getvalue()
