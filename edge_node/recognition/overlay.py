"""Drawing a heat map over the picture as the model saw it: the crop, upright, not squeezed into the model's square."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_node.recognition.picture import Picture
from protocols.explanation import extent
from protocols.imaging import DECODING_ERRORS, TURNS, Box, ImageError, orientation, oriented_size, to_rgb
from protocols.pictures import open_picture

MAX_EDGE_PX = 1024
# Orange and sky blue of Okabe and Ito's palette, told apart with every kind of colour vision.
FOR, AGAINST = (230, 159, 0), (86, 180, 233)
_FAINTEST = 0.1  # of the strongest: below it nothing is drawn
_OPACITY = 0.65  # of the strongest: what lies under it must stay visible


def smooth(heat: NDArray[np.float32], edge_px: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """A heat map drawn out over the crop, float32 [height, width] in -1..1.

    Args:
        heat: [h, w] in -1..1, from ``protocols.explanation.heat``.
        edge_px: side of the model's input, which tells where the map's cells lie.
        size: width and height in pixels.
    """
    height, width = heat.shape
    (left, cell_width), (top, cell_height) = extent(edge_px, width), extent(edge_px, height)
    across, down = left / cell_width, top / cell_height  # margins in cells; the outermost cells reach over them
    margin = math.ceil(max(across, down))
    box = (margin - across, margin - down, margin + width + across, margin + height + down)
    whole = Image.fromarray(np.pad(heat, margin, mode="edge"))
    drawn = np.asarray(whole.resize(size, Image.Resampling.BICUBIC, box=box), dtype=np.float32)
    return np.asarray(np.clip(drawn, -1, 1))


def tint(heat: NDArray[np.float32], edge_px: int, size: tuple[int, int]) -> Image.Image:
    """The same as a transparent picture, RGBA, to lay over the crop: orange speaks for the label, blue against it."""
    values = smooth(heat, edge_px, size)
    strength = np.clip((np.abs(values) - _FAINTEST) / (1 - _FAINTEST), 0, 1)
    coloured = np.empty((*values.shape, 4), dtype=np.uint8)
    coloured[..., :3] = np.where((values > 0)[..., np.newaxis], FOR, AGAINST)
    coloured[..., 3] = np.rint(strength * _OPACITY * 255)
    return Image.fromarray(coloured)


def as_seen(picture: Picture) -> Image.Image:
    """The crop of a picture, upright, RGB, at most ``MAX_EDGE_PX`` a side, without any metadata.

    Raises:
        ImageError: ``image.*``.
        OSError: the file cannot be read.
    """
    with open_picture(picture.file, picture.frame) as opened:
        width, height = oriented_size(opened)
        box = picture.crop or Box(0, 0, width, height)
        scale = min(1.0, MAX_EDGE_PX / max(box.width, box.height))
        size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
        turn = orientation(opened)
        wanted = (math.ceil(opened.width * scale), math.ceil(opened.height * scale))
        opened.draft(None, wanted)  # decode no larger than needed
        try:
            decoded = to_rgb(opened)
            decoded.load()
        except DECODING_ERRORS as error:
            raise ImageError("image.unreadable") from error
    upright = decoded.transpose(TURNS[turn]) if turn in TURNS else decoded
    across, down = upright.width / width, upright.height / height
    region = (box.x * across, box.y * down, (box.x + box.width) * across, (box.y + box.height) * down)
    return Image.fromarray(np.asarray(upright.resize(size, Image.Resampling.LANCZOS, box=region)))


def draw(picture: Picture, heat: NDArray[np.float32], edge_px: int) -> bytes:
    """A PNG without any metadata: the picture with the heat map over it. Arguments and failures as above."""
    drawn = as_seen(picture)
    layer = tint(heat, edge_px, drawn.size)
    drawn.paste(layer, mask=layer)
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
