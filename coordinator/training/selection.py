"""Choosing taps, method and regularisation of a linear head inside a training part, by grouped cross-validation.

The choice is made inside each training part (inner folds); reported figures come from images that neither the fit nor the
choice has seen (outer folds): nested grouped cross-validation (``ladder.linear``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coordinator.training import folds
from coordinator.training.ladder.comparison import loss
from coordinator.training.linear import STRENGTHS, LinearHead, Method, Projection
from coordinator.training.metrics import balanced_accuracy, confusion

INNER_FOLDS = 3
OUTER_FOLDS = 5
_INNER_SALT = 1000  # inner folds never coincide with outer ones


@dataclass(frozen=True)
class TapSet:
    """A candidate: which of the trunk's pooled outputs the head reads."""

    name: str
    taps: tuple[str, ...]


def _both(*depths: int) -> tuple[str, ...]:
    return tuple(f"mixed{d}_{pool}" for d in depths for pool in ("avg", "max"))


LAST_POOL = TapSet("last pool", ("mixed10_avg",))
CANDIDATES = {
    "quick": (LAST_POOL, TapSet("mixed4+7 avg+max", _both(4, 7)), TapSet("mixed4+7+10 avg+max", _both(4, 7, 10))),
    "standard": (
        LAST_POOL,
        TapSet("mixed7 avg", ("mixed7_avg",)),
        TapSet("mixed4+7 avg+max", _both(4, 7)),
        TapSet("mixed4+7+10 avg+max", _both(4, 7, 10)),
        TapSet("all taps avg", tuple(f"mixed{d}_avg" for d in (2, 4, 7, 8, 10))),
        TapSet("all taps avg+max", _both(2, 4, 7, 8, 10)),
    ),
}
CANDIDATES["full"] = (
    *CANDIDATES["standard"],
    TapSet("mixed7 avg+max", _both(7)),
    TapSet("mixed2+4+7 avg+max", _both(2, 4, 7)),
    TapSet("mixed4+7+8 avg+max", _both(4, 7, 8)),
)
REPEATS = {"quick": 1, "standard": 3, "full": 3}


@dataclass(frozen=True)
class Data:
    """A data set as features.

    Attributes:
        taps: name -> float32 [images, channels].
        labels: int64 [images], indices into the sorted class names.
        groups: str [images].
        altered: name -> float32 [views, channels], views of some images; heads may be fitted on them too.
        source: int64 [views], the image that each view is of.
    """

    taps: dict[str, NDArray[np.float32]]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    altered: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    source: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def features(self, tap_set: TapSet, rows: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Concatenated taps [images, features]."""
        parts = [self.taps[t] if rows is None else self.taps[t][rows] for t in tap_set.taps]
        return np.concatenate(parts, axis=1)

    def view_features(self, tap_set: TapSet, rows: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The same of the views chosen by bool [views]."""
        return np.concatenate([self.altered[t][rows] for t in tap_set.taps], axis=1)


@dataclass(frozen=True)
class Choice:
    """A linear head that may be fitted.

    Attributes:
        tap_set: what it reads.
        strength: of the fit, among ``linear.STRENGTHS``.
        method: how it is fitted.
        level: whether each tap counts alike, however many channels it has.
    """

    tap_set: TapSet
    strength: float
    method: Method = "logistic"
    level: bool = False

    def blocks(self, data: Data) -> tuple[int, ...]:
        """What ``Projection`` takes."""
        return tuple(data.taps[t].shape[1] for t in self.tap_set.taps) if self.level else ()


@dataclass(frozen=True)
class Trial:
    """A choice with its figures on inner folds.

    Attributes:
        accuracy: balanced accuracy.
        error: its standard error, groups taken for witnesses.
        loss: class-balanced log-loss at the best temperature.
    """

    choice: Choice
    accuracy: float
    error: float
    loss: float


def trials(
    data: Data,
    rows: NDArray[np.bool_],
    tap_sets: Sequence[TapSet],
    methods: Sequence[Method] = ("logistic",),
    level: bool = False,
) -> list[Trial]:
    """Try every tap set, method and strength by grouped cross-validation within ``rows``."""
    labels, groups = data.labels[rows], data.groups[rows]
    (plan,) = folds.plans(labels, groups, INNER_FOLDS, 1, _INNER_SALT)
    found: list[Trial] = []
    for tap_set in tap_sets:
        choices = [Choice(tap_set, s, m, level) for m in methods for s in STRENGTHS[m]]
        features = data.features(tap_set, rows)
        logits = np.zeros((len(choices), len(labels), int(data.labels.max()) + 1), np.float32)
        for fold in np.unique(plan):
            train, test = plan != fold, plan == fold
            projection = Projection(features[train], choices[0].blocks(data))
            for i, choice in enumerate(choices):
                head = projection.fit(labels[train], choice.strength, choice.method)
                logits[i, test] = head.logits(features[test])
        found += [_judged(choice, labels, groups, row) for choice, row in zip(choices, logits, strict=True)]
    return found


def _judged(choice: Choice, labels: NDArray[np.int64], groups: NDArray[np.str_], logits: NDArray[np.float32]) -> Trial:
    table = confusion(labels, logits.argmax(axis=1), logits.shape[1])
    present = [c for c in range(len(table)) if table[c].sum()]
    recall = np.array([table[c, c] / table[c].sum() for c in present])
    witnesses = np.array([len(np.unique(groups[labels == c])) for c in present])
    error = float(np.sqrt((recall * (1 - recall) / witnesses).sum()) / len(present))
    return Trial(choice, balanced_accuracy(table), error, loss(labels, logits))


def best(found: Iterable[Trial]) -> Choice:
    """The choice with the least loss among those whose balanced accuracy lies within a standard error of the highest.

    Balanced accuracy of a few hundred images has a few hundred steps and many ties by chance; the loss moves with every
    score. At a tie fewer taps, then the stiffer fit.
    """
    found = list(found)
    top = max(found, key=lambda t: t.accuracy)
    near = [t for t in found if t.accuracy >= top.accuracy - top.error]
    return min(near, key=lambda t: (t.loss, len(t.choice.tap_set.taps), t.choice.strength)).choice


def fit(data: Data, choice: Choice, rows: NDArray[np.bool_] | None = None, views: bool = True) -> LinearHead:
    """Fit the chosen head on ``rows`` (default: all images) and, unless told otherwise, the altered views of them."""
    features = data.features(choice.tap_set, rows)
    labels = data.labels if rows is None else data.labels[rows]
    if views and len(data.source):
        seen = np.ones(len(data.source), dtype=bool) if rows is None else rows[data.source]
        features = np.concatenate([features, data.view_features(choice.tap_set, seen)])
        labels = np.concatenate([labels, data.labels[data.source[seen]]])
    return Projection(features, choice.blocks(data)).fit(labels, choice.strength, choice.method)
