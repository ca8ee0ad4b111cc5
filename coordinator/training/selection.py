"""Choosing taps and regularisation, and saying honestly how good the choice is.

The choice is made inside each training part (inner folds); the reported figure comes from images that neither the fit nor
the choice has seen (outer folds): nested grouped cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coordinator.training import folds
from coordinator.training.linear import LinearHead, Projection
from coordinator.training.metrics import balanced_accuracy, confusion

STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 1e-1)
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
        altered: name -> float32 [views, channels], views of some images; heads are fitted on them too, never tested.
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


@dataclass
class CrossValidation:
    """Out-of-fold logits [repeats, images, labels] of each candidate and of the nested choice."""

    candidates: dict[str, NDArray[np.float32]]
    nested: NDArray[np.float32]
    chosen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Choice:
    """A tap set with its regularisation strength."""

    tap_set: TapSet
    strength: float


def _inner_scores(
    data: Data, rows: NDArray[np.bool_], candidates: tuple[TapSet, ...], classes: int
) -> dict[tuple[str, float], float]:
    """Balanced accuracy of each (candidate, strength) by grouped cross-validation within ``rows``."""
    labels, groups = data.labels[rows], data.groups[rows]
    (plan,) = folds.plans(labels, groups, INNER_FOLDS, 1, _INNER_SALT)
    result: dict[tuple[str, float], float] = {}
    for candidate in candidates:
        features = data.features(candidate, rows)
        predicted = {c: np.zeros(len(labels), dtype=np.int64) for c in STRENGTHS}
        for fold in np.unique(plan):
            train, test = plan != fold, plan == fold
            projection = Projection(features[train])
            for strength in STRENGTHS:
                predicted[strength][test] = projection.fit(labels[train], strength).logits(features[test]).argmax(1)
        for strength in STRENGTHS:
            result[candidate.name, strength] = balanced_accuracy(confusion(labels, predicted[strength], classes))
    return result


def best(scores: dict[tuple[str, float], float], candidates: tuple[TapSet, ...]) -> Choice:
    """The best-scoring pair; at a tie the smaller head, then the stronger regularisation."""
    size = {c.name: len(c.taps) for c in candidates}
    name, strength = min(scores, key=lambda k: (-scores[k], size[k[0]], k[1]))
    return Choice(next(c for c in candidates if c.name == name), strength)


def cross_validate(
    data: Data, candidates: tuple[TapSet, ...], repeats: int, progress: Callable[[int, int], None]
) -> CrossValidation:
    """Nested grouped cross-validation of every candidate and of the choice among them."""
    classes = int(data.labels.max()) + 1
    plans = folds.plans(data.labels, data.groups, OUTER_FOLDS, repeats)
    shape = (len(plans), len(data.labels), classes)
    outcome = CrossValidation({c.name: np.zeros(shape, np.float32) for c in candidates}, np.zeros(shape, np.float32))
    steps = sum(len(np.unique(plan)) for plan in plans)
    done = 0
    for repeat, plan in enumerate(plans):
        for fold in np.unique(plan):
            train, test = plan != fold, plan == fold
            scores = _inner_scores(data, train, candidates, classes)
            choice = best(scores, candidates)
            outcome.chosen.append(choice.tap_set.name)
            for candidate in candidates:
                own = best({k: v for k, v in scores.items() if k[0] == candidate.name}, candidates)
                head = fit(data, own, train)
                logits = head.logits(data.features(candidate, test))
                outcome.candidates[candidate.name][repeat, test] = logits
                if candidate == choice.tap_set:
                    outcome.nested[repeat, test] = logits
            done += 1
            progress(done, steps)
    return outcome


def choose(data: Data, candidates: tuple[TapSet, ...]) -> Choice:
    """The choice for the head that is shipped, made on all the data."""
    everything = np.ones(len(data.labels), dtype=bool)
    return best(_inner_scores(data, everything, candidates, int(data.labels.max()) + 1), candidates)


def fit(data: Data, choice: Choice, rows: NDArray[np.bool_] | None = None) -> LinearHead:
    """Fit the chosen head on ``rows`` (default: all images) and the altered views of them."""
    taps = choice.tap_set.taps
    features = data.features(choice.tap_set, rows)
    labels = data.labels if rows is None else data.labels[rows]
    if len(data.source):
        views = np.ones(len(data.source), dtype=bool) if rows is None else rows[data.source]
        seen = np.concatenate([data.altered[t][views] for t in taps], axis=1)
        features = np.concatenate([features, seen])
        labels = np.concatenate([labels, data.labels[data.source[views]]])
    return Projection(features).fit(labels, choice.strength)
