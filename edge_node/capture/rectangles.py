"""Rectangles in a picture, by their straight edges: a film on a light box, a print, a field within a screenshot. Pure.

A side counts as far as there is a step of brightness or colour along it, less what goes on beyond its corners: the edge
of a pasted or lit rectangle ends there, that of a table or a rib does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.int64]  # [n, 4]: left, top, right, bottom in pixels

LEAST_SIDE = 0.1  # of the picture's
_LEAST_AREA, _LARGEST_AREA = 0.02, 0.8  # of the picture's
_FAINT, _PLAIN = 8.0, 32.0  # levels (0-255): a step that counts for nothing, and one that counts in full
_LINES = 24  # in each direction; four make a rectangle
_STRETCH = 0.12  # of the picture: the length on which a line must show
_BEYOND = 0.5  # weight of what goes on beyond the corners
_LARGER = 0.1  # for the square root of the area: a frame before the frame within it
_MOST = 1000  # rectangles looked at for being alike


@dataclass(frozen=True)
class Edges:
    """Steps between neighbouring pixels, 0 (none) to 1 (plain), summed along every line.

    Attributes:
        vertical: float32 [width + 1, height + 1]; ``vertical[x, y]`` is the sum above ``y`` on the line left of pixel ``x``.
        horizontal: float32 [height + 1, width + 1], likewise.
    """

    vertical: NDArray[np.float32]
    horizontal: NDArray[np.float32]

    @classmethod
    def of(cls, picture: NDArray[np.uint8]) -> Edges:
        """Args: picture: RGB [height, width, 3]."""
        levels = picture.astype(np.float32)
        return cls(_summed(_steps(levels)), _summed(_steps(levels.transpose(1, 0, 2))))

    def strength(self, boxes: Boxes) -> NDArray[np.float32]:
        """How well each box [n, 4] is bordered, about 0 to 1; the two weaker sides count double."""
        left, top, right, bottom = boxes.T
        return _together(
            _side(self.vertical, left, top, bottom),
            _side(self.vertical, right, top, bottom),
            _side(self.horizontal, top, left, right),
            _side(self.horizontal, bottom, left, right),
        )

    def rectangles(self, most: int) -> Boxes:
        """The ``most`` best bordered boxes that differ from each other, best first."""
        width, height = len(self.vertical) - 1, len(self.horizontal) - 1
        columns, x_pairs = _pairs(_lines(self.vertical), width)
        rows, y_pairs = _pairs(_lines(self.horizontal), height)
        if not len(x_pairs) or not len(y_pairs):
            return np.zeros((0, 4), np.int64)
        x0, x1 = columns[x_pairs].T
        y0, y1 = rows[y_pairs].T
        upright = _side(self.vertical, columns[:, np.newaxis], y0, y1)  # [columns, pairs of rows]
        level = _side(self.horizontal, rows[:, np.newaxis], x0, x1)  # [rows, pairs of columns]
        strength = _together(
            upright[x_pairs[:, 0]], upright[x_pairs[:, 1]], level[y_pairs[:, 0]].T, level[y_pairs[:, 1]].T
        )
        share = np.outer(x1 - x0, y1 - y0) / (width * height)
        value = np.where(
            (share >= _LEAST_AREA) & (share <= _LARGEST_AREA), strength + _LARGER * np.sqrt(share), -np.inf
        )
        order = np.argsort(-value, axis=None, kind="stable")[:_MOST]
        i, j = np.unravel_index(order[np.isfinite(value.ravel()[order])], value.shape)
        return distinct(np.stack([x0[i], y0[j], x1[i], y1[j]], axis=1), most)


def distinct(boxes: Boxes, most: int, overlap: float = 0.8) -> Boxes:
    """The first ``most`` of the boxes [n, 4] that overlap (intersection over union) no earlier one by more."""
    kept: list[int] = []
    rest = np.ones(len(boxes), dtype=bool)
    while len(kept) < most and rest.any():
        first = int(rest.argmax())
        kept.append(first)
        rest &= _overlap(boxes, boxes[first]) <= overlap
        rest[first] = False
    return boxes[kept]


def _overlap(boxes: Boxes, one: Boxes) -> NDArray[np.float64]:
    across = np.minimum(boxes[:, 2], one[2]) - np.maximum(boxes[:, 0], one[0])
    down = np.minimum(boxes[:, 3], one[3]) - np.maximum(boxes[:, 1], one[1])
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.asarray(shared / (areas + (one[2] - one[0]) * (one[3] - one[1]) - shared))


def _steps(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Steps [width + 1, height] across every vertical line of [height, width, 3]; the picture's own borders have none."""
    height, width = levels.shape[:2]
    step = np.zeros((width + 1, height), np.float32)
    step[1:width] = np.abs(np.diff(levels, axis=1)).max(axis=2).T
    # An edge that falls inside a pixel of the reduced picture is spread over two lines.
    spread = np.minimum(np.maximum(step[:-2], step[2:]), step[1:-1])
    step[1:-1] += spread
    return np.asarray(np.clip((step - _FAINT) / (_PLAIN - _FAINT), 0, 1), dtype=np.float32)


def _summed(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1, dtype=np.float32)


def _side(sums: NDArray[np.float32], line: Boxes, start: Boxes, end: Boxes) -> NDArray[np.float32]:
    """Share of an edge from ``start`` to ``end`` on ``line``, less that of its continuation; arguments are broadcast."""
    extent = sums.shape[1] - 1
    reach = np.maximum((end - start) // 4, 3)
    before, after = np.maximum(start - reach, 0), np.minimum(end + reach, extent)
    inside = sums[line, end] - sums[line, start]
    outside = sums[line, after] - sums[line, before] - inside
    beyond = np.maximum((after - before) - (end - start), 1)
    return np.asarray(inside / np.maximum(end - start, 1) - _BEYOND * outside / beyond, dtype=np.float32)


def _together(*sides: NDArray[np.float32]) -> NDArray[np.float32]:
    ordered = np.sort(np.stack(sides), axis=0)
    return np.asarray(ordered.mean(axis=0) / 2 + ordered[:2].mean(axis=0) / 2, dtype=np.float32)


def _lines(sums: NDArray[np.float32]) -> Boxes:
    """Where straight edges are likeliest, ascending: local maxima of the best stretch on each line."""
    stretch = min(max(4, int(_STRETCH * (sums.shape[1] - 1))), sums.shape[1] - 1)
    best = (sums[:, stretch:] - sums[:, :-stretch]).max(axis=1)
    peaks = best > 0
    peaks[1:-1] &= (best[1:-1] >= best[:-2]) & (best[1:-1] >= best[2:])
    found = np.flatnonzero(peaks)
    return np.sort(found[np.argsort(-best[found], kind="stable")[:_LINES]])


def _pairs(lines: Boxes, extent: int) -> tuple[Boxes, Boxes]:
    """The lines and the pairs [n, 2] of their indices that are far enough apart."""
    first, second = np.triu_indices(len(lines), 1)
    apart = lines[second] - lines[first] >= LEAST_SIDE * extent
    return lines, np.stack([first[apart], second[apart]], axis=1)
