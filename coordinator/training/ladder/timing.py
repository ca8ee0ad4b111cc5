"""How long a training will take, told before it starts and while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from coordinator.training.selection import OUTER_FOLDS

# Seconds on one core of the machine that the benchmarks name; what is measured on the way replaces them.
IMAGE_S = 0.047  # features of one image or view
FOLD_S = {"quick": 8.0, "standard": 22.0, "full": 30.0}  # choice and fits of one fold of 1,600 images
MAP_EPOCH_S = 0.0009  # one pass of a spatial head over one map
TEACHER_EPOCH_S = 0.07  # one pass of the network above mixed7 over an image
BACKBONE_S, HEAD_S = 35.0, 25.0


@dataclass(frozen=True)
class Expected:
    """Seconds that each part is expected to take, in the order of the parts.

    Attributes:
        seconds: of what will be done; nothing for parts that may turn out to be worth their while.
        possible: seconds of those.
    """

    seconds: dict[str, float]
    possible: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All parts."""
        return sum(self.seconds.values())


def expected(
    effort: str,
    images: int,
    missing: int,
    missing_views: int,
    folds: int,
    map_epochs: int,
    cores: int,
    trunks: int,
    teacher_epochs: float = 0,
    taught_map_epochs: int = 0,
) -> Expected:
    """What is to be done, as seconds.

    Args:
        effort: quick, standard or full.
        images: of the data set.
        missing: images whose features are not cached.
        missing_views: the same of altered views.
        folds: outer folds in all repeats.
        map_epochs: passes of spatial heads over the maps of all images.
        cores: that share the work.
        trunks: that are still to be converted.
        teacher_epochs: passes of a fine-tuned network over the images of a training part, for the first fold.
        taught_map_epochs: passes over the maps of all images of the spatial heads that it may teach.
    """
    teacher = teacher_epochs * images * (1 - 1 / OUTER_FOLDS) * TEACHER_EPOCH_S / cores
    spatial = images * MAP_EPOCH_S / cores
    return Expected(
        {
            "backbone": trunks * BACKBONE_S,
            "features": missing * IMAGE_S / cores,
            "views": missing_views * IMAGE_S / cores,
            "selection": folds * FOLD_S[effort] * max(images / 1600, 0.05) / cores,
            "spatial": map_epochs * spatial,
            "teacher": teacher,
            "distilled": 0.0,
            "head": HEAD_S,
        },
        {"distilled": teacher * (OUTER_FOLDS - 1) + taught_map_epochs * spatial},
    )


class Remaining:
    """Seconds left, corrected by how fast the parts so far were."""

    def __init__(self, plan: Expected) -> None:
        self._seconds = dict(plan.seconds)
        self._possible = dict(plan.possible)
        self._spent: dict[str, float] = {}
        self._share: dict[str, float] = {}

    def told(self, part: str, done: int, total: int, elapsed_s: float) -> None:
        """A part has come so far; ``elapsed_s`` since it began."""
        if part in self._possible:
            self._seconds[part] = self._possible.pop(part)
        if part in self._seconds:
            self._spent[part], self._share[part] = elapsed_s, done / total if total else 1.0

    def seconds(self) -> float:
        """What is left of all parts."""
        parts = list(self._seconds)
        reached = max((parts.index(p) for p in self._share), default=-1)
        left = 0.0
        for place, (part, planned) in enumerate(self._seconds.items()):
            share = self._share.get(part, 0.0)
            if place < reached or share >= 1:
                continue
            measured = self._spent[part] / share if share >= 0.05 else planned
            left += measured * (1 - share)
        return left
