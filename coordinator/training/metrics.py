"""Figures that a reader can trust: every image counted, intervals by resampling whole groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_REPLICATES = 2000
_SEED = 20_240_501
_CELLS = 4_000_000  # of images times replicates that are held at once
_TAIL = 0.025  # on each side of a 95 % interval
_TIES: tuple[Literal["left", "right"], ...] = ("left", "right")
_LEAST_GROUPS = 2  # resampling one group gives the same set again and again


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval; the bounds are None where there are too few groups to resample."""

    value: float
    low: float | None
    high: float | None

    def document(self) -> dict[str, float | None]:
        """The JSON form, four decimals."""
        return {
            "value": round(self.value, 4),
            "low": None if self.low is None else round(self.low, 4),
            "high": None if self.high is None else round(self.high, 4),
        }


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest; None where the images cannot tell.

    Attributes:
        images: with this true label.
        groups: that hold such images.
    """

    images: int
    groups: int
    sensitivity: Interval | None
    specificity: Interval | None
    auc: Interval | None

    def document(self) -> dict[str, Any]:
        """The JSON form: plain figures, their bounds under ``intervals``."""
        found = {n: getattr(self, n) for n in ("sensitivity", "specificity", "auc")}
        documents = {n: None if interval is None else interval.document() for n, interval in found.items()}
        return {
            **{n: None if d is None else d["value"] for n, d in documents.items()},
            "n": self.images,
            "groups": self.groups,
            "intervals": {n: None if d is None else {"low": d["low"], "high": d["high"]} for n, d in documents.items()},
        }


@dataclass(frozen=True)
class Figures:
    """How good a model is on labelled images."""

    images: int
    groups: int
    accuracy: float
    balanced_accuracy: Interval
    auc_macro: Interval | None
    ece: float
    per_class: tuple[ClassFigures, ...]


class Resampling:
    """The cluster bootstrap: replicates of a set of images that draw whole groups with replacement.

    Attributes:
        group_of: int64 [images], number of each image's group.
        groups: how many there are.
    """

    def __init__(self, groups: NDArray[Any]) -> None:
        unique, self.group_of = np.unique(groups, return_inverse=True)
        self.groups = len(unique)

    def blocks(self) -> Iterator[NDArray[np.float64]]:
        """How often each replicate draws each group, [some replicates, groups]; the same ones on every call."""
        generator = np.random.default_rng(_SEED)
        share = np.full(self.groups, 1 / self.groups)
        step = min(max(_CELLS // len(self.group_of), 1), _REPLICATES)
        for start in range(0, _REPLICATES, step):
            size = min(step, _REPLICATES - start)
            yield generator.multinomial(self.groups, share, size=size).astype(np.float64)


@dataclass(frozen=True)
class _Counts:
    """Images [..., labels] with the true label, given the label, and both."""

    truths: NDArray[np.float64]
    calls: NDArray[np.float64]
    hits: NDArray[np.float64]

    @classmethod
    def by_group(cls, truth: NDArray[np.int64], predicted: NDArray[np.int64], at: Resampling, classes: int) -> _Counts:
        """Counts [groups, labels]."""

        def count(labels: NDArray[np.int64], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
            cells = np.bincount(at.group_of * classes + labels, weights, minlength=at.groups * classes)
            return cells.astype(np.float64).reshape(at.groups, classes)

        return cls(count(truth), count(predicted), count(truth, predicted == truth))

    def drawn(self, draws: NDArray[np.float64]) -> _Counts:
        """Counts [replicates, labels]."""
        return _Counts(draws @ self.truths, draws @ self.calls, draws @ self.hits)

    def rates(self) -> NDArray[np.float64]:
        """Sensitivity and specificity [2, replicates, labels]; nan where there is nothing to count."""
        total = self.truths.sum(axis=-1, keepdims=True)
        rejected = total - self.truths - self.calls + self.hits
        return np.stack([_share(self.hits, self.truths), _share(rejected, total - self.truths)])


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def describe(truth: NDArray[np.int64], scores: NDArray[np.float64], groups: NDArray[Any]) -> Figures:
    """All figures with intervals resampled by group; every figure and bound is the mean over the repeats.

    Args:
        truth: [images], indices of labels.
        scores: [repeats, images, labels] of models that had not seen the image; every repeat counts every image once.
        groups: [images].
    """
    at = Resampling(groups)
    runs = [_describe(truth, run, at) for run in scores]
    return Figures(
        images=len(truth),
        groups=at.groups,
        accuracy=float(np.mean([f.accuracy for f in runs])),
        balanced_accuracy=_needed(_mean([f.balanced_accuracy for f in runs])),
        auc_macro=_mean([f.auc_macro for f in runs]),
        ece=float(np.mean([f.ece for f in runs])),
        per_class=tuple(
            ClassFigures(
                rows[0].images,
                rows[0].groups,
                *(_mean([getattr(row, n) for row in rows]) for n in ("sensitivity", "specificity", "auc")),
            )
            for rows in zip(*(f.per_class for f in runs), strict=True)
        ),
    )


def _describe(truth: NDArray[np.int64], scores: NDArray[np.float64], at: Resampling) -> Figures:
    """The figures of one repeat, ``scores`` [images, labels]."""
    classes = scores.shape[1]
    predicted = scores.argmax(axis=1)
    counts = _Counts.by_group(truth, predicted, at, classes)
    rates = counts.drawn(np.ones((1, at.groups))).rates()[:, 0]
    areas = _areas(truth, scores, np.ones((len(truth), 1)))[0]
    drawn = [(counts.drawn(draws).rates(), _areas(truth, scores, draws.T[at.group_of])) for draws in at.blocks()]
    rate_draws, area_draws = np.concatenate([d[0] for d in drawn], axis=1), np.concatenate([d[1] for d in drawn])
    holding = (counts.truths > 0).sum(axis=0)
    others = (counts.truths.sum(axis=1, keepdims=True) > counts.truths).sum(axis=0)
    least = np.minimum(holding, others)
    return Figures(
        images=len(truth),
        groups=at.groups,
        accuracy=float((predicted == truth).mean()),
        balanced_accuracy=_needed(_interval(np.nanmean(rates[0]), np.nanmean(rate_draws[0], axis=1), at.groups)),
        auc_macro=_interval(areas.mean(), area_draws.mean(axis=1), int(least.min())),
        ece=expected_calibration_error(truth, scores),
        per_class=tuple(
            ClassFigures(
                int((truth == c).sum()),
                int(holding[c]),
                _rate_interval(rates[0, c], rate_draws[0, :, c], int(holding[c])),
                _rate_interval(rates[1, c], rate_draws[1, :, c], int(others[c])),
                _interval(areas[c], area_draws[:, c], int(least[c])),
            )
            for c in range(classes)
        ),
    )


def _interval(value: float, replicates: NDArray[np.float64], groups: int) -> Interval | None:
    """The figure with the percentiles of its replicates; None where it is not defined."""
    if np.isnan(value):
        return None
    if groups < _LEAST_GROUPS:
        return Interval(float(value), None, None)
    low, high = np.nanpercentile(replicates, (100 * _TAIL, 100 * (1 - _TAIL)))
    return Interval(float(value), float(low), float(high))


def _rate_interval(value: float, replicates: NDArray[np.float64], groups: int) -> Interval | None:
    """As ``_interval``; where no image or every image is right, resampling sees no spread, so the far bound is the exact
    binomial one (Clopper and Pearson 1934) with whole groups as trials.
    """
    interval = _interval(value, replicates, groups)
    if interval is None or interval.low is None or 0 < value < 1:
        return interval
    exact = _TAIL ** (1 / groups)
    return Interval(interval.value, exact, 1.0) if value == 1 else Interval(interval.value, 0.0, 1 - exact)


def _mean(intervals: Sequence[Interval | None]) -> Interval | None:
    """Figure and bounds averaged; whether they exist depends on images and groups only, so on all repeats alike."""
    found = [i for i in intervals if i is not None]
    if not found:
        return None
    lows, highs = [i.low for i in found if i.low is not None], [i.high for i in found if i.high is not None]
    return Interval(
        float(np.mean([i.value for i in found])),
        float(np.mean(lows)) if lows else None,
        float(np.mean(highs)) if highs else None,
    )


def _needed(interval: Interval | None) -> Interval:
    """Balanced accuracy is always defined: some class occurs."""
    assert interval is not None
    return interval


def _areas(truth: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """One-against-rest areas under the ROC curve [replicates, labels]; nan where undefined.

    Args:
        truth: [images].
        scores: [images, labels].
        weights: [images, replicates], how often each replicate holds each image.
    """
    result = np.empty((weights.shape[1], scores.shape[1]))
    for label in range(scores.shape[1]):
        positive = truth == label
        ours, theirs = weights[positive], weights[~positive]
        own, rest = scores[positive, label], scores[~positive, label]
        order = np.argsort(rest, kind="stable")
        beaten = np.concatenate([np.zeros((1, weights.shape[1])), theirs[order].cumsum(axis=0)])
        won = np.zeros(weights.shape[1])
        for side in _TIES:  # a tie is half a victory
            won += np.einsum("ir,ir->r", ours, beaten[np.searchsorted(rest[order], own, side)]) / 2
        result[:, label] = _share(won, ours.sum(axis=0) * theirs.sum(axis=0))
    return result


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts [true, predicted]."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (truth, predicted), 1)
    return table


def balanced_accuracy(table: NDArray[Any]) -> float:
    """Mean recall over the classes that occur in a confusion table."""
    totals = table.sum(axis=1)
    present = totals > 0
    return float((np.diag(table)[present] / totals[present]).mean())


def balanced_accuracy_interval(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[Any], classes: int
) -> Interval:
    """Balanced accuracy over the classes that occur; the interval resamples groups (cluster bootstrap, 2000 replicates)."""
    at = Resampling(groups)
    counts = _Counts.by_group(truth, predicted, at, classes)
    replicates = np.concatenate([np.nanmean(counts.drawn(draws).rates()[0], axis=1) for draws in at.blocks()])
    return _needed(_interval(balanced_accuracy(confusion(truth, predicted, classes)), replicates, at.groups))


@dataclass(frozen=True)
class Paired:
    """Balanced accuracy of two models on the same images, and the interval of the first less the second."""

    candidate: float
    current: float
    difference: Interval


def balanced_accuracy_difference(
    truth: NDArray[np.int64],
    candidate: NDArray[np.int64],
    current: NDArray[np.int64],
    groups: NDArray[Any],
    classes: int,
) -> Paired:
    """Compare two models; every replicate draws the same groups for both, and repeats are averaged within it.

    Args:
        truth: [images].
        candidate: [repeats, images], labels given.
        current: [other repeats, images].
        groups: [images].
        classes: number of labels.
    """
    at = Resampling(groups)
    counts = [[_Counts.by_group(truth, run, at, classes) for run in runs] for runs in (candidate, current)]

    def recalls(draws: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [np.mean([np.nanmean(c.drawn(draws).rates()[0], axis=1) for c in runs], axis=0) for runs in counts]

    ours, theirs = (float(found[0]) for found in recalls(np.ones((1, at.groups))))
    replicates = np.concatenate([np.subtract(*recalls(draws)) for draws in at.blocks()])
    return Paired(ours, theirs, _needed(_interval(ours - theirs, replicates, at.groups)))


def share_interval(holds: NDArray[np.bool_], groups: NDArray[Any]) -> Interval | None:
    """How often something holds, bool [repeats, images]; mean over the repeats, resampled by group [images]."""
    at = Resampling(groups)
    counts = np.bincount(at.group_of).astype(np.float64)
    held = np.stack([np.bincount(at.group_of, row) for row in holds], axis=1)
    drawn = np.concatenate([(draws @ held) / (draws @ counts)[:, np.newaxis] for draws in at.blocks()])
    return _mean([_rate_interval(float(holds[i].mean()), drawn[:, i], at.groups) for i in range(len(holds))])


def auc_macro(truth: NDArray[np.int64], scores: NDArray[np.float64]) -> float | None:
    """Mean one-against-rest area under the ROC curve; None where a class does not occur."""
    value = float(_areas(truth, scores, np.ones((len(truth), 1)))[0].mean())
    return None if np.isnan(value) else value


@dataclass(frozen=True)
class Reliability:
    """Equal-mass bins of the top score: mean score, share that was right and images, each [bins]."""

    score: NDArray[np.float64]
    right: NDArray[np.float64]
    images: NDArray[np.int64]


def reliability(truth: NDArray[np.int64], scores: NDArray[np.float64], bins: int = 15) -> Reliability:
    """Top scores [images, labels] against the truth over equal-mass bins (Nixon et al. 2019), lowest first."""
    top = scores.max(axis=1)
    right = scores.argmax(axis=1) == truth
    parts = [p for p in np.array_split(np.argsort(top, kind="stable"), bins) if len(p)]
    return Reliability(
        np.array([top[p].mean() for p in parts]),
        np.array([right[p].mean() for p in parts]),
        np.array([len(p) for p in parts]),
    )


def expected_calibration_error(truth: NDArray[np.int64], scores: NDArray[np.float64], bins: int = 15) -> float:
    """Gap between top score and accuracy over equal-mass bins."""
    found = reliability(truth, scores, bins)
    return float((found.images * np.abs(found.score - found.right)).sum() / found.images.sum())


def per_class(table: NDArray[np.int64], names: list[str]) -> dict[str, dict[str, float | int | None]]:
    """Sensitivity and specificity of each class against the rest."""
    total = int(table.sum())
    rows: dict[str, dict[str, float | int | None]] = {}
    for i, name in enumerate(names):
        positive = int(table[i].sum())
        false_alarm = int(table[:, i].sum()) - int(table[i, i])
        negative = total - positive
        rows[name] = {
            "sensitivity": round(int(table[i, i]) / positive, 4) if positive else None,
            "specificity": round(1 - false_alarm / negative, 4) if negative else None,
            "n": positive,
        }
    return rows
