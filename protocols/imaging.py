"""From a photograph to model input: the one way, for training and for nodes.

A decoded pixel must not depend on who decodes it, so everything that touches pixels on both sides is in this file.
``PREPARE_VERSION`` rises with any change that alters a single output value; cached features are keyed by it.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from protocols.errors import ProtocolError

PREPARE_VERSION = 1
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")  # EPS and its like must never reach an interpreter
MAX_PIXELS = 40_000_000
MIN_EDGE_PX = 16
# What Pillow's decoders are known to raise for damaged data, beside its own UnidentifiedImageError (an OSError).
DECODING_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError, TypeError, IndexError, KeyError),
    *(struct.error, zlib.error),
)

TURNS = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ProtocolError):
    """The picture cannot be used; the code says why."""


@dataclass(frozen=True)
class InputSpec:
    """What a model's first stage expects: a square RGB image with values in ``value_range``."""

    edge_px: int
    value_range: tuple[float, float]

    @classmethod
    def from_document(cls, document: object) -> InputSpec:
        """Read one from a manifest.

        Raises:
            ProtocolError: ``manifest.malformed``, or ``manifest.prepare_version`` for a preparation we do not have.
        """
        match document:
            case {"edge_px": int(edge), "value_range": [int() | float() as low, int() | float() as high], **rest} if (
                32 <= edge <= 1024 and low < high
            ):
                if rest.get("prepare_version") != PREPARE_VERSION:
                    raise ProtocolError(
                        "manifest.prepare_version", wanted=rest.get("prepare_version"), have=PREPARE_VERSION
                    )
                return cls(edge, (float(low), float(high)))
        raise ProtocolError("manifest.malformed", field="input")

    def document(self) -> dict[str, Any]:
        """The JSON form, with the version of the preparation it relies on."""
        return {
            "edge_px": self.edge_px,
            "value_range": list(self.value_range),
            "prepare_version": PREPARE_VERSION,
        }


@dataclass(frozen=True)
class Box:
    """A region in pixels of the *oriented* image, as a person sees it."""

    x: int
    y: int
    width: int
    height: int


@contextmanager
def open_image(source: Path | bytes, *, first_frame: bool = False) -> Iterator[Image.Image]:
    """Open a picture by its content, checked but not yet decoded, so that ``prepare`` can decode it small.

    Raises:
        ImageError: ``image.unreadable``, ``image.too_large``, ``image.too_small`` or ``image.several_frames``.
        OSError: the file itself cannot be read.
    """
    stream: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    with stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own, lower limit follows
                image = Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageError("image.too_large", megapixels="> 100", limit=MAX_PIXELS // 1_000_000) from error
        except DECODING_ERRORS as error:
            raise ImageError("image.unreadable") from error
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError("image.too_large", megapixels=round(width * height / 1e6), limit=MAX_PIXELS // 1_000_000)
        if min(width, height) < MIN_EDGE_PX:
            raise ImageError("image.too_small", width=width, height=height, limit=MIN_EDGE_PX)
        if image.format in ("GIF", "TIFF", "WEBP", "PNG") and getattr(image, "n_frames", 1) > 1 and not first_frame:
            raise ImageError("image.several_frames", frames=getattr(image, "n_frames", 2))
        yield image


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1-8; 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises many kinds of errors and must not cost us the picture
        return 1
    return value if value in TURNS else 1


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as a person sees the picture."""
    width, height = image.size
    return (height, width) if orientation(image) >= 5 else (width, height)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any decoded picture to 8-bit RGB: alpha onto black, deep grey levels windowed, never clipped silently."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else (0.0, 1.0)
        scaled = np.nan_to_num((values - low) / max(float(high - low), 1e-6), nan=0.0, posinf=1.0, neginf=0.0)
        return Image.fromarray((np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("RGB")
    return image.convert("RGB")


def prepare(image: Image.Image, spec: InputSpec, crop: Box | None = None) -> NDArray[np.float32]:
    """Turn one photograph into model input; the only such function, for training and for nodes.

    A JPEG that was opened but not loaded is decoded at the smallest scale that still gives twice the wanted edge inside
    the crop (at once the edge the result would differ visibly). ``image`` is consumed: its size may change.

    Returns:
        float32 [1, spec.edge_px, spec.edge_px, 3] in ``spec.value_range``.

    Raises:
        ImageError: ``image.crop_outside``, ``image.too_small`` for the crop, or ``image.unreadable`` for broken data.
    """
    turn = orientation(image)
    width, height = oriented_size(image)
    crop = crop or Box(0, 0, width, height)
    if crop.x < 0 or crop.y < 0 or crop.x + crop.width > width or crop.y + crop.height > height:
        raise ImageError("image.crop_outside", width=width, height=height)
    if min(crop.width, crop.height) < MIN_EDGE_PX:
        raise ImageError("image.too_small", width=crop.width, height=crop.height, limit=MIN_EDGE_PX)
    left, top, right, bottom = _to_raw(crop, turn, width, height)

    raw_width, raw_height = image.size
    wanted = 2 * spec.edge_px
    image.draft(
        None,  # keep the mode
        (-(-raw_width * wanted // (right - left)), -(-raw_height * wanted // (bottom - top))),
    )
    across, down = image.size[0] / raw_width, image.size[1] / raw_height
    edge = spec.edge_px
    try:
        small = to_rgb(image).resize(
            (edge, edge),
            Image.Resampling.LANCZOS,
            box=(left * across, top * down, right * across, bottom * down),
        )
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    if turn in TURNS:
        small = small.transpose(TURNS[turn])
    low, high = spec.value_range
    pixels = np.asarray(small, dtype=np.float32)[np.newaxis]
    return pixels * np.float32((high - low) / 255.0) + np.float32(low)


def _to_raw(box: Box, turn: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Map a box of the oriented image (``width`` x ``height``) to left, top, right, bottom of the stored one."""
    x0, y0, x1, y1 = box.x, box.y, box.x + box.width, box.y + box.height
    mirrored_x, mirrored_y = (width - x1, width - x0), (height - y1, height - y0)
    match turn:
        case 2:
            return mirrored_x[0], y0, mirrored_x[1], y1
        case 3:
            return mirrored_x[0], mirrored_y[0], mirrored_x[1], mirrored_y[1]
        case 4:
            return x0, mirrored_y[0], x1, mirrored_y[1]
        case 5:
            return y0, x0, y1, x1
        case 6:
            return y0, mirrored_x[0], y1, mirrored_x[1]
        case 7:
            return mirrored_y[0], mirrored_x[0], mirrored_y[1], mirrored_x[1]
        case 8:
            return mirrored_y[0], x0, mirrored_y[1], x1
        case _:
            return x0, y0, x1, y1


@dataclass(frozen=True)
class Quality:
    """Plain measures of model input, all cheap and all independent of the value range.

    Attributes:
        sharpness: standard deviation of the 4-neighbour Laplacian of luminance (0-255 scale) at a quarter of the size,
            where noise and compression do not show; low means blurred.
        exposure: mean luminance, 0 (black) to 1 (white).
        highlight: 99th percentile of luminance; low means that nothing in the picture is lit.
        clipped: share of pixels at or above 98 % of full scale.
    """

    sharpness: float
    exposure: float
    highlight: float
    clipped: float


def measure_quality(pixels: NDArray[np.float32], spec: InputSpec) -> Quality:
    """Measure the prepared input [1, edge, edge, 3], so that what is judged is what the model sees."""
    low, high = spec.value_range
    luminance = ((pixels[0] - low) / (high - low)) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    side = spec.edge_px // 4
    small = luminance[: 4 * side, : 4 * side].reshape(side, 4, side, 4).mean(axis=(1, 3))
    around = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:]
    return Quality(
        sharpness=float(np.std(around - 4 * small[1:-1, 1:-1]) * 255),
        exposure=float(luminance.mean()),
        highlight=float(np.percentile(luminance, 99)),
        clipped=float((luminance >= 0.98).mean()),
    )
