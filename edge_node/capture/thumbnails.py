"""Thumbnails of thousands of boxes of one picture at once, by sums over its pixels. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.capture.rectangles import Boxes
from protocols.novelty import LAYOUT_EDGE

_FLATTEST = 0.02  # contrast, as in ``novelty.thumbnail``


class Thumbnails:
    """What ``novelty.thumbnail`` gives for regions of a picture, but for its resampling."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        """Args: picture: RGB [height, width, 3]."""
        self._height, self._width = picture.shape[:2]
        self._sums = np.zeros((self._height + 1, self._width + 1, 3))
        self._sums[1:, 1:] = (picture / 255.0).cumsum(axis=0).cumsum(axis=1)

    def of(self, boxes: Boxes) -> NDArray[np.float32]:
        """Float32 [n, 192] for boxes [n, 4] inside the picture."""
        cuts = np.arange(LAYOUT_EDGE + 1) / LAYOUT_EDGE
        x = boxes[:, :1] + cuts * (boxes[:, 2:3] - boxes[:, :1])
        y = boxes[:, 1:2] + cuts * (boxes[:, 3:4] - boxes[:, 1:2])
        corners = self._sum_at(x[:, np.newaxis, :], y[:, :, np.newaxis])
        blocks = np.diff(np.diff(corners, axis=1), axis=2)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / LAYOUT_EDGE**2
        flat = blocks.reshape(len(boxes), 3 * LAYOUT_EDGE**2) / areas[:, np.newaxis]
        contrast = flat.std(axis=1, keepdims=True) + _FLATTEST
        return np.asarray((flat - flat.mean(axis=1, keepdims=True)) / contrast, dtype=np.float32)

    def _sum_at(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        """Sums [..., 3] over all that is left of ``x`` and above ``y``, which may cut pixels."""
        left = np.minimum(x.astype(np.int64), self._width - 1)
        top = np.minimum(y.astype(np.int64), self._height - 1)
        across, down = (x - left)[..., np.newaxis], (y - top)[..., np.newaxis]
        above = self._sums[top, left] * (1 - across) + self._sums[top, left + 1] * across
        below = self._sums[top + 1, left] * (1 - across) + self._sums[top + 1, left + 1] * across
        return np.asarray(above * (1 - down) + below * down)
