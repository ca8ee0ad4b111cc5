"""What is trained on: the samples that may be, their folds, and their features as one table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.intake.samples import Sample
from coordinator.training import folds, novelty, selection
from coordinator.training.features import Extraction
from coordinator.training.selection import Data
from protocols.manifest import Label

LEAST_IMAGES = 5


def check_samples(samples: list[Sample], repeats: int) -> list[NDArray[np.int64]]:
    """Refuse what cannot be trained and tested before the minutes that features take; returns the outer folds.

    Raises:
        CoordinatorError: ``train.too_few_images`` or ``train.too_few_groups``.
    """
    counts = Counter(s.label for s in samples)
    if not counts:  # all of its images still wait for a person's look
        raise CoordinatorError("train.too_few_images", label="…", count=0, least=LEAST_IMAGES)
    for label, count in sorted(counts.items()):
        if count < LEAST_IMAGES:
            raise CoordinatorError("train.too_few_images", label=label, count=count, least=LEAST_IMAGES)
    _, labels = np.unique([s.label for s in samples], return_inverse=True)
    return folds.plans(labels, np.array([s.group for s in samples]), selection.OUTER_FOLDS, repeats)


@dataclass(frozen=True)
class Altered:
    """Features of altered views, float32 [views, channels] by tap, and the image that each is of."""

    taps: dict[str, NDArray[np.float32]]
    source: NDArray[np.int64]


def as_data(samples: Sequence[Sample], labels: Sequence[Label], extraction: Extraction, altered: Altered) -> Data:
    """Features with labels as indices of the sorted class names.

    Raises:
        CoordinatorError: ``train.bad_features`` where the trunk gave something that is no number.
    """
    for taps in (extraction.taps, altered.taps):
        bad = np.any([~np.isfinite(values).all(axis=1) for values in taps.values()], axis=0)
        if bad.any():
            raise CoordinatorError("train.bad_features", count=int(bad.sum()))
    names = [x.label for x in labels]
    return Data(
        extraction.taps,
        np.array([names.index(s.label) for s in samples], dtype=np.int64),
        np.array([s.group for s in samples]),
        altered.taps,
        altered.source,
    )


def know(data: Data, extraction: Extraction) -> tuple[bytes, novelty.Limits]:
    """The novelty artifact of a data set, and its limits."""
    images = novelty.Views(np.concatenate([data.taps[t] for t in novelty.TAPS], axis=1), extraction.thumbnails)
    altered = np.concatenate([data.altered[t] for t in novelty.TAPS], axis=1)
    (fold,) = folds.plans(data.labels, data.groups, selection.OUTER_FOLDS, 1)
    return novelty.fit(images).to_bytes(), novelty.limits(images, altered, data.source, fold)
