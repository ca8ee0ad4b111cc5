"""Photographs with a subject at a known place, and a model that knows what the subject looks like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edge_node.capture.rectangles import Boxes
from protocols.imaging import Box, InputSpec, prepare
from protocols.novelty import NoveltyStatistics, Subspace, thumbnail
from tests.support.pictures import noise

SPEC = InputSpec(75, (-1.0, 1.0))
RIGHTLY = 0.85  # overlap with the true box


def subject(seed: int = 1) -> Image.Image:
    """A striped thing that no ground looks like: dark to bright from left to right, red above, blue below."""
    ramp = np.linspace(40, 250, 96)
    levels = np.zeros((96, 96, 3))
    levels[:48, :, 0] = ramp
    levels[48:, :, 2] = ramp
    grain = np.random.default_rng(seed).normal(0, 4, levels.shape)
    return Image.fromarray(np.clip(levels + grain, 0, 255).astype(np.uint8))


def scene(box: Box, size: tuple[int, int] = (640, 480), soft: bool = False) -> Image.Image:
    """The subject in ``box`` on a mottled ground; ``soft``: it fades into the ground, with no straight edge."""
    ground = noise(7, 64, (90, 120, 100)).resize(size, Image.Resampling.BICUBIC)
    thing = subject().resize((box.width, box.height), Image.Resampling.BICUBIC)
    mask = Image.new("L", (box.width, box.height), 255)
    if soft:
        inner = shown(Box(0, 0, box.width, box.height))
        mask = Image.new("L", (box.width, box.height))
        mask.paste(255, (inner.x, inner.y, inner.x + inner.width, inner.y + inner.height))
        mask = mask.filter(ImageFilter.GaussianBlur(box.width * 0.06))
    ground.paste(thing, (box.x, box.y), mask)
    return ground


def shown(box: Box) -> Box:
    """What can be seen of a soft subject."""
    across, down = round(box.width * 0.1), round(box.height * 0.1)
    return Box(box.x + across, box.y + down, box.width - 2 * across, box.height - 2 * down)


def pixels(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture)


def subject_thumbnail() -> NDArray[np.float32]:
    return thumbnail(prepare(subject(), SPEC), SPEC)


def statistics() -> NoveltyStatistics:
    """A layout subspace around the subject; an appearance subspace that nobody uses."""
    axis = np.zeros((192, 1), np.float32)
    axis[0] = 1
    layout = Subspace(subject_thumbnail(), np.full(192, 0.3, np.float32), axis)
    return NoveltyStatistics(
        Subspace(np.zeros(2, np.float32), np.ones(2, np.float32), np.eye(2, 1, dtype=np.float32)), layout
    )


def strangeness(prepared: NDArray[np.float32]) -> float:
    """How unlike the subject model input looks: below 1 for the subject itself."""
    return float(np.square(thumbnail(prepared, SPEC) - subject_thumbnail()).mean() / 0.05)


class KnowsSubject:
    """Judges regions of one picture by their likeness to the subject, and remembers what it was asked."""

    def __init__(self, picture: Image.Image, foreign: float = 8.0) -> None:
        self._picture = picture
        self.foreign = foreign
        self.asked: list[Box | None] = []

    def appearance(self, box: Box | None) -> float:
        self.asked.append(box)
        return strangeness(prepare(self._picture.copy(), SPEC, box))

    def layout(self, thumbnails: NDArray[np.float32]) -> NDArray[np.float64]:
        return statistics().layout.residual(thumbnails)


def corners(box: Box) -> Boxes:
    return np.array([[box.x, box.y, box.x + box.width, box.y + box.height]])


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across = max(0, min(a.x + a.width, b.x + b.width) - max(a.x, b.x))
    down = max(0, min(a.y + a.height, b.y + b.height) - max(a.y, b.y))
    return across * down / (a.width * a.height + b.width * b.height - across * down)
