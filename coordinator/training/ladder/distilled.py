"""The last rung of effort ``full``: the network fine-tuned above ``mixed7``, and where that wins a spatial head taught by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.training.ladder import spatial
from coordinator.training.ladder.climb import Rung
from coordinator.training.ladder.race import Race, compared
from coordinator.training.selection import OUTER_FOLDS, Data
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import Maps
from coordinator.training.spatial.teacher import TeacherConfig
from coordinator.training.spatial.training import SpatialFit, teachers

EPOCHS = {"quick": 0, "standard": 0, "full": 3}  # of a teacher; none: nothing is fine-tuned
TAUGHT = 0.7  # of a target; the label has the rest
_ANSWERING = 0.75  # epochs' worth of answering for images and views
_HINDERED = ("train.spatial_diverged", "train.spatial_failed")  # and everything about the backbone's weights
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class School:
    """From what teachers are made.

    Attributes:
        config: how they are trained.
        backbones: folder with fetched weights.
        work: where what is finished lies.
    """

    config: TeacherConfig
    backbones: Path
    work: Path

    def teach(self, maps: Maps, data: Data, learning: Sequence[NDArray[np.bool_]], told: Told) -> NDArray[np.float32]:
        """Answers of a teacher for each part of the images, as ``spatial.training.teachers``."""
        return teachers(
            maps,
            data.labels,
            learning,
            self.config,
            self.backbones,
            self.work,
            lambda done, total, left: told(done, total),
        )


def school(effort: str, backbone: str, backbones: Path, work: Path) -> School | None:
    """What fine-tunes a backbone where an effort asks for it."""
    epochs = EPOCHS[effort]
    return (
        School(TeacherConfig(backbone, epochs=epochs, views=spatial.views(effort)), backbones, work) if epochs else None
    )


def passes(effort: str, budget_bytes: int, labels: int, images: int) -> tuple[float, int]:
    """For telling the time: of a teacher over its images, and of the heads that may be taught over one map of all images."""
    heads = spatial.within(effort, budget_bytes, labels, images)[-1:]
    if not heads or not EPOCHS[effort]:
        return 0.0, 0
    return EPOCHS[effort] + _ANSWERING, heads[0].epochs * len(heads[0].maps) * (OUTER_FOLDS - 1)


def config(head: SpatialConfig) -> SpatialConfig:
    """A spatial head as it is when it is taught."""
    return replace(head, taught=TAUGHT)


def raced_on(plan: NDArray[np.int64]) -> tuple[int, int]:
    """Repeat and fold of the race."""
    return 0, int(np.unique(plan)[0])


def first_fold(plan: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The images that the race is run on; no teacher of it has learnt any."""
    return np.asarray(plan == raced_on(plan)[1])


def run(
    school: School, maps: Maps, data: Data, plan: NDArray[np.int64], kept: Rung, told: Told
) -> tuple[Race, NDArray[np.float32]]:
    """The race, and the answers of its teacher, which ``answers`` goes on with.

    Raises:
        CoordinatorError: ``hindered`` says which mean that the ladder ends here.
    """
    test = first_fold(plan)
    found = school.teach(maps, data, [~test], told)
    return compared(data.labels, data.groups, found[0, 0], kept, test), found


def answers(
    school: School,
    maps: Maps,
    data: Data,
    plan: NDArray[np.int64],
    first: NDArray[np.float32],
    head: SpatialConfig,
    told: Told,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Out-of-fold logits of the taught head [1, images, labels] and of its teachers [images, labels]."""
    folds = np.unique(plan)
    total = (len(folds) - 1) * school.config.epochs + head.epochs
    rest = school.teach(maps, data, [plan != fold for fold in folds[1:]], lambda done, _: told(done, total))
    taught = np.concatenate([first, rest])
    unseen = np.searchsorted(folds, plan)
    logits = spatial.answers(
        maps,
        data,
        [plan],
        head,
        school.work,
        lambda done, _: told(total - head.epochs + done, total),
        taught,
    )
    return logits, np.asarray(taught[unseen, 0, np.arange(len(plan))])


def fit(school: School, maps: Maps, data: Data, head: SpatialConfig, told: Told) -> SpatialFit:
    """The taught head fitted on all images, of which its teacher has learnt all.

    Raises:
        CoordinatorError: ``train.spatial_…``, ``train.conversion_…`` or ``backbone.…``.
    """
    total = school.config.epochs + head.epochs
    everything = np.ones(len(data.labels), dtype=bool)
    taught = school.teach(maps, data, [everything], lambda done, _: told(done, total))
    done_before = school.config.epochs
    return spatial.fit(maps, data, head, school.work, lambda done, _: told(done_before + done, total), taught)


def hindered(error: CoordinatorError) -> bool:
    """Whether a failure is about the teacher alone: the other rungs are whole, and a training need not be lost for it."""
    return error.code in _HINDERED or error.code.startswith("backbone.") or error.code == "file.not_found"
