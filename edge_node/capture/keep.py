"""The copy of a capture that is kept for confirmation and later training: what the model saw, in at most 150 kB. Blocking.

Lossless WebP where that fits; else JPEG without chroma subsampling, giving up pixels beyond the model's resolution before
quality. Lossy WebP was tried: smaller than needed, but it halves the resolution of colour and moved scores two to three
times as far (malaria cells from 12 megapixels, 598 px: 0.009 at quality 95 against 0.003 for JPEG at 90).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from edge_node.capture.picture import Size, upright
from protocols.imaging import Box, InputSpec

MAX_BYTES = 150_000
_LOSSLESS_PIXELS = 100_000  # more never fits, but for drawings
_SCALES = (2.0, 1.5, 1.0)  # times the model's resolution
_GOOD = (95, 90, 85)  # JPEG quality
_POOR = (70, 50, 30, 10, 1)  # at the model's resolution, for pictures that are little but grain
_STRIP = 4  # longer pictures are squeezed lengthwise, which ``prepare`` does to every picture
_SHRINK = 0.7


@dataclass(frozen=True)
class Kept:
    """An image file: its bytes and the suffix of its name."""

    data: bytes
    suffix: str


def kept_copy(image: Image.Image, spec: InputSpec, crop: Box | None = None) -> Kept:
    """Encode the crop: upright, without metadata, at least the model's resolution where the original has it.

    The same picture always gives the same bytes, with one version of the encoder.

    Args:
        image: from ``imaging.open_image``; consumed.
        spec: of the model; its edge is the resolution to keep.
        crop: in pixels of the oriented original; None for all of it.

    Returns:
        At most ``MAX_BYTES``.

    Raises:
        ImageError: ``image.crop_outside``, ``image.too_small`` for the crop, or ``image.unreadable``.
    """
    largest = upright(image, crop, lambda width, height: _size(width, height, _SCALES[0] * spec.edge_px))
    if largest.width * largest.height <= _LOSSLESS_PIXELS:
        exact = _encoded(largest, "WEBP", lossless=True, quality=50, method=2)
        if len(exact) <= MAX_BYTES:
            return Kept(exact, ".webp")
    for size, quality in _attempts(largest.size, spec.edge_px):
        smaller = largest if size == largest.size else largest.resize(size, Image.Resampling.LANCZOS)
        data = _encoded(smaller, "JPEG", quality=quality, subsampling=0)
        if len(data) <= MAX_BYTES:
            break
    return Kept(data, ".jpg")


def _attempts(largest: Size, edge_px: int) -> Iterator[tuple[Size, int]]:
    """Sizes and qualities, best first; the last is small enough for anything."""
    for scale in _SCALES:
        for quality in _GOOD:
            yield _size(*largest, scale * edge_px), quality
    size = _size(*largest, _SCALES[-1] * edge_px)
    for quality in _POOR:
        yield size, quality
    while min(size) > 1:
        size = (max(1, int(size[0] * _SHRINK)), max(1, int(size[1] * _SHRINK)))
        yield size, _POOR[-1]


def _size(width: int, height: int, edge: float) -> Size:
    """At least ``edge`` a side where the picture has it, else its own; a strip's length at most four times its breadth."""
    scale = min(1.0, edge / min(width, height))
    longest = max(_STRIP * edge, 1)
    return max(1, round(min(width * scale, longest))), max(1, round(min(height * scale, longest)))


def _encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
