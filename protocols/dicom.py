"""DICOM files as plain pictures: the pixels, shown as their maker asks, and nothing else of the file.

Needs the ``dicom`` extra. Of the header only what describes the pixels is read, so that no name, number or date can get into
a message. Blocking.
"""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from protocols.imaging import MAX_PIXELS, MIN_EDGE_PX, ImageError, to_rgb

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

# What pydicom has to say, in its log as in warnings and exceptions, may repeat what is in the header.
logging.getLogger("pydicom").propagate = False

_MAGIC_AT, _MAGIC = 128, b"DICM"
# What every data set begins with: an element of group 8 with its type, or with its length at the very start.
_ELEMENT = re.compile(
    rb"\x08\x00[\x00-\x80]\x00(?:CS|UI|DA|TM|UL|LO)|\A\x08\x00[\x00-\x80]\x00.\x00\x00\x00", re.DOTALL
)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_WANTED = (
    *("SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
    *("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_PIXELS),
)
# Storage classes (DICOM PS3.4, table B.5-1) whose pixels, where they have any, are no photograph, by their modality.
_NO_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.5": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.104.1": "PDF",
}


def is_dicom(path: Path) -> bool:
    """Whether the file says that it is DICOM; its name says nothing.

    Raises:
        OSError: it cannot be read.
    """
    return _start(path)[_MAGIC_AT:] == _MAGIC


def lacks_head(path: Path) -> bool:
    """Whether a file that is no picture looks like DICOM without the head that says how to read it.

    Raises:
        OSError: it cannot be read.
    """
    return _ELEMENT.search(_start(path)) is not None


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAGIC_AT + len(_MAGIC))


def read_dicom(path: Path, frame: int | None = None) -> Image.Image:
    """The picture in a DICOM file, RGB; grey levels windowed by the file's first window, or by themselves.

    Args:
        path: a file for which ``is_dicom`` is true.
        frame: which of several pictures, from 1.

    Raises:
        ImageError: ``image.dicom_*``, ``image.several_frames`` without ``frame``, ``image.frame_absent``, ``image.mask``,
            ``image.too_large`` or ``image.too_small``.
        OSError: the file cannot be read.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ImageError("image.dicom_missing") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Large elements stay in the file: of many frames one is read.
            header = pydicom.dcmread(path, specific_tags=list(_WANTED), defer_size=1 << 16)
            _require_picture(header, frame)
            return _shown(_pixels(path, header, (frame or 1) - 1), header)
        except ImageError:
            raise
        except Exception as error:  # pydicom and its decoders raise what they like for damaged files
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ImageError("image.dicom_unreadable") from None


def _require_picture(header: Dataset, frame: int | None) -> None:
    kind = _NO_PICTURES.get(str(header.get("SOPClassUID", "")))
    if kind is not None:
        raise ImageError("image.dicom_not_picture", kind=kind)
    if not any(keyword in header for keyword in _PIXELS):
        raise ImageError("image.dicom_no_pixels")
    if int(header.BitsAllocated) == 1:
        raise ImageError("image.mask")
    width, height, frames = int(header.Columns), int(header.Rows), int(header.get("NumberOfFrames") or 1)
    if width * height > MAX_PIXELS:
        raise ImageError("image.too_large", megapixels=round(width * height / 1e6), limit=MAX_PIXELS // 1_000_000)
    if min(width, height) < MIN_EDGE_PX:
        raise ImageError("image.too_small", width=width, height=height, limit=MIN_EDGE_PX)
    if frame is None and frames > 1:
        raise ImageError("image.several_frames", frames=frames)
    if not 1 <= (frame or 1) <= frames:
        raise ImageError("image.frame_absent", frame=frame, frames=frames)


def _pixels(path: Path, header: Dataset, index: int) -> NDArray[Any]:
    """One frame [rows, columns] or [rows, columns, 3], RGB where the file holds YBR."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax: UID = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and not get_decoder(syntax).is_available:
        raise ImageError("image.dicom_missing")
    return np.asarray(pixel_array(header if syntax.is_deflated else path, index=index))


def _shown(pixels: NDArray[Any], header: Dataset) -> Image.Image:
    """Pixels as a screen shows them."""
    from pydicom.pixels.processing import apply_color_lut

    interpretation = str(header.PhotometricInterpretation)
    if interpretation == "PALETTE COLOR":
        coloured = apply_color_lut(pixels, header)
        return _eight_bits(coloured, 8 * coloured.itemsize)
    if pixels.ndim == 3:
        return _eight_bits(pixels, int(header.BitsStored))
    grey = _grey(pixels, header)
    return ImageOps.invert(grey) if interpretation == "MONOCHROME1" else grey


def _eight_bits(pixels: NDArray[Any], bits: int) -> Image.Image:
    if bits != 8:
        pixels = np.rint(pixels.astype(np.float32) * (255 / (2**bits - 1))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels), "RGB")


def _grey(pixels: NDArray[Any], header: Dataset) -> Image.Image:
    """Modality and value-of-interest transforms, then 256 levels (PS3.3, C.11.1 and C.11.2)."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    values = np.asarray(apply_modality_lut(pixels, header))
    if header.get("VOILUTSequence"):
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        levels = apply_voi(np.rint(values).astype(np.int64), header).astype(np.float32) / (2**bits - 1)
    elif header.get("WindowWidth") is not None and header.get("WindowCenter") is not None:
        centre, width = _first(header.WindowCenter), _first(header.WindowWidth)
        levels = _windowed(values.astype(np.float32), centre, width, str(header.get("VOILUTFunction") or "LINEAR"))
    elif values is pixels and values.dtype == np.uint8:
        levels = values.astype(np.float32) / (2 ** int(header.BitsStored) - 1)
    else:
        return to_rgb(Image.fromarray(values.astype(np.float32)))
    return Image.fromarray(np.rint(levels.clip(0, 1) * 255).astype(np.uint8)).convert("RGB")


def _first(values: Any) -> float:
    """A window may have alternatives; the first is the maker's choice."""
    return float(values if isinstance(values, str | int | float) else values[0])


def _windowed(values: NDArray[np.float32], centre: float, width: float, function: str) -> NDArray[np.float32]:
    """Values as shares of the window; outside of 0..1 they are clipped by the caller."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)), dtype=np.float32)
    if function == "LINEAR":  # PS3.3, C.11.2.1.2.1: the window's ends are the middles of its outermost levels
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return np.asarray((values - centre) / width + 0.5, dtype=np.float32)
