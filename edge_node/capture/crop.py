"""Where the subject of a photograph is: the region to suggest to the clinician. Pure.

Cheap guesses first: rectangles with straight edges, and a grid of boxes whose layout is like the training images'. The
model's own trunk then judges the few best. Chosen by experiment (benchmarks/crop.py).
"""

from __future__ import annotations

from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_node.capture.rectangles import LEAST_SIDE, Boxes, Edges, distinct
from edge_node.capture.thumbnails import Thumbnails
from protocols.imaging import MIN_EDGE_PX, Box

SEARCH_PX = 256  # longer side of the copy in which boxes are searched for
_RECTANGLES, _GRID = 4, 3  # how many the trunk judges of each kind: 40 ms each on one core
_PLAIN_RECTANGLE = 0.6  # strength of a rectangle that somebody has put there, whatever a model says
_BETTER = 0.8  # of the whole picture's novelty: what a suggestion must stay below
_SHARES = (0.05, 0.08, 0.13, 0.2, 0.3, 0.42)  # of the picture's area
_ASPECTS = (0.7, 1.0, 1.43)  # width to height
_OVERLAP = 6  # steps of the grid to a box
_MOVES = (16, 8, 4, 2, 1)  # pixels by which a box of the grid is improved, in turn
_ROUNDS = 3  # of each
# Logarithms of residuals against strengths of edges. Cheap: layout alone; judged: appearance and a little layout.
_EDGE_CHEAP, _EDGE_JUDGED, _LAYOUT_JUDGED = 4.0, 2.0, 0.25
_FLOOR = 0.02  # of residuals, before the logarithm


class Familiarity(Protocol):
    """How like a model's training images the regions of one picture are."""

    @property
    def foreign(self) -> float:
        """The appearance above which a region is another kind of image."""
        ...

    def appearance(self, box: Box | None) -> float:
        """Novelty of a region, or of the whole picture: up to 1 it is familiar. Runs the trunk."""
        ...

    def layout(self, thumbnails: NDArray[np.float32]) -> NDArray[np.float64]:
        """Layout residuals [n] of thumbnails [n, 192]."""
        ...


def suggest_crop(picture: NDArray[np.uint8], model: Familiarity | None) -> Box | None:
    """The region of a picture that a model should see.

    Args:
        picture: RGB [height, width, 3], upright, about a thousand pixels a side.
        model: judges regions of the same picture; None where it cannot tell what it knows, then only a plain rectangle
            is suggested.

    Returns:
        A box in pixels of ``picture``; None for the whole of it: it is familiar as it is, or no region is.
    """
    height, width = picture.shape[:2]
    if min(height, width) < 4 * MIN_EDGE_PX:
        return None
    if model is None:
        return _plain_rectangle(picture)
    whole = model.appearance(None)
    if whole <= 1:
        return None
    search = _Search(picture, model)
    candidates = search.candidates()
    if not len(candidates):
        return None
    boxes = [search.in_picture(box) for box in candidates]
    appearance = np.array([model.appearance(box) for box in boxes])
    strength = search.edges.strength(candidates)
    best = int((_log(appearance) + _LAYOUT_JUDGED * search.layout(candidates) - _EDGE_JUDGED * strength).argmin())
    worth = appearance[best] <= _BETTER * whole
    known = appearance[best] <= model.foreign or strength[best] >= _PLAIN_RECTANGLE
    return boxes[best] if worth and known else None


def _plain_rectangle(picture: NDArray[np.uint8]) -> Box | None:
    small = _Small(picture)
    edges = Edges.of(small.pixels)
    found = edges.rectangles(1)
    return small.in_picture(found[0]) if len(found) and edges.strength(found)[0] >= _PLAIN_RECTANGLE else None


class _Small:
    """The copy in which boxes are searched for."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self._height, self._width = picture.shape[:2]
        scale = min(1.0, SEARCH_PX / max(picture.shape))
        self.width, self.height = max(1, round(self._width * scale)), max(1, round(self._height * scale))
        small = Image.fromarray(picture).resize((self.width, self.height), Image.Resampling.BOX)
        self.pixels: NDArray[np.uint8] = np.asarray(small)
        # No side below what ``prepare`` takes, nor below what is worth suggesting.
        self.least_x = max(int(np.ceil(MIN_EDGE_PX * self.width / self._width)) + 1, int(LEAST_SIDE * self.width))
        self.least_y = max(int(np.ceil(MIN_EDGE_PX * self.height / self._height)) + 1, int(LEAST_SIDE * self.height))

    def in_picture(self, box: Boxes) -> Box:
        """A box [4] of the copy in the picture."""
        across, down = self._width / self.width, self._height / self.height
        left, right = round(box[0] * across), round(box[2] * across)
        top, bottom = round(box[1] * down), round(box[3] * down)
        return Box(left, top, right - left, bottom - top)


class _Search(_Small):
    """Candidates in one picture."""

    def __init__(self, picture: NDArray[np.uint8], model: Familiarity) -> None:
        super().__init__(picture)
        self._model = model
        self.edges = Edges.of(self.pixels)
        self._thumbnails = Thumbnails(self.pixels)

    def candidates(self) -> Boxes:
        """The boxes that the trunk should judge."""
        rectangles = self._wide_enough(self.edges.rectangles(50))
        ranked = rectangles[np.argsort(self._cheap(rectangles, _EDGE_CHEAP), kind="stable")]
        grid = self._wide_enough(self._grid())
        alike = grid[np.argsort(self.layout(grid), kind="stable")]
        improved = [self._improved(box) for box in distinct(alike, _GRID, 0.4)]
        found = np.concatenate([ranked[:_RECTANGLES], *(box[np.newaxis] for box in improved)])
        return distinct(found, len(found), 0.9)

    def layout(self, boxes: Boxes) -> NDArray[np.float64]:
        """Logarithm of the layout residuals [n] of the boxes."""
        return _log(self._model.layout(self._thumbnails.of(boxes)))

    def _cheap(self, boxes: Boxes, edge: float) -> NDArray[np.float64]:
        return np.asarray(self.layout(boxes) - edge * self.edges.strength(boxes))

    def _grid(self) -> Boxes:
        boxes: list[NDArray[np.float64]] = []
        for share, aspect in product(_SHARES, _ASPECTS):
            area = share * self.width * self.height
            wide, high = min((area * aspect) ** 0.5, self.width), min((area / aspect) ** 0.5, self.height)
            lefts = np.linspace(0, self.width - wide, 1 + int(_OVERLAP * (self.width - wide) / wide))
            tops = np.linspace(0, self.height - high, 1 + int(_OVERLAP * (self.height - high) / high))
            x, y = (grid.ravel() for grid in np.meshgrid(lefts, tops))
            boxes.append(np.stack([x, y, x + wide, y + high], axis=1))
        return np.rint(np.concatenate(boxes)).astype(np.int64)

    def _wide_enough(self, boxes: Boxes) -> Boxes:
        wide = boxes[:, 2] - boxes[:, 0] >= self.least_x
        kept: Boxes = boxes[wide & (boxes[:, 3] - boxes[:, 1] >= self.least_y)]
        return kept

    def _improved(self, start: Boxes) -> Boxes:
        """The best box near by: shifted, or with one side moved."""
        sides = np.eye(4, dtype=np.int64)
        shifts = sides[:2] + sides[2:]
        moves = np.concatenate([sides, -sides, shifts, -shifts])
        limits = np.array([self.width, self.height, self.width, self.height])
        box = start
        for pixels, _ in product(_MOVES, range(_ROUNDS)):
            near = np.clip(np.concatenate([[box], box + pixels * moves]), 0, limits)
            near = np.concatenate([near[:1], self._wide_enough(near[1:])])
            box = near[int(self._cheap(near, _EDGE_JUDGED).argmin())]
        return box


def _log(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(residuals, _FLOOR)))
