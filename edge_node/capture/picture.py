"""A photograph's pixels, upright, at the size that is wanted. Blocking."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image

from protocols.imaging import DECODING_ERRORS, MIN_EDGE_PX, TURNS, Box, ImageError, orientation, oriented_size, to_rgb

Size = tuple[int, int]


def upright(image: Image.Image, crop: Box | None, size_of: Callable[[int, int], Size]) -> Image.Image:
    """The crop of an opened picture, upright, RGB, without any metadata.

    Args:
        image: from ``imaging.open_image``; consumed.
        crop: in pixels of the oriented original; None for all of it.
        size_of: from the crop's width and height to those of the result; never larger.

    Raises:
        ImageError: ``image.crop_outside``, ``image.too_small`` for the crop, or ``image.unreadable``.
    """
    turn, (width, height) = orientation(image), oriented_size(image)
    box = crop or Box(0, 0, width, height)
    if box.x < 0 or box.y < 0 or box.x + box.width > width or box.y + box.height > height:
        raise ImageError("image.crop_outside", width=width, height=height)
    if min(box.width, box.height) < MIN_EDGE_PX:
        raise ImageError("image.too_small", width=box.width, height=box.height, limit=MIN_EDGE_PX)
    size = size_of(box.width, box.height)
    scale = max(size[0] / box.width, size[1] / box.height)
    # As ``prepare``: a JPEG is decoded at the smallest scale that still has twice the pixels wanted.
    image.draft(None, (math.ceil(2 * scale * image.width), math.ceil(2 * scale * image.height)))
    try:
        picture = to_rgb(image)
        picture.load()
    except DECODING_ERRORS as error:
        raise ImageError("image.unreadable") from error
    if turn in TURNS:
        picture = picture.transpose(TURNS[turn])
    across, down = picture.width / width, picture.height / height
    region = (box.x * across, box.y * down, (box.x + box.width) * across, (box.y + box.height) * down)
    small = picture.resize(size, Image.Resampling.LANCZOS, box=region)
    small.info = {}
    return small
