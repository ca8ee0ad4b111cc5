"""Which of two heads is better, told from their out-of-fold answers for the same images, resampled by group.

Two figures: balanced accuracy, which is what the head is for and is coarse on few images, and the class-balanced log-loss at
each head's best temperature, which moves with every score and so settles what balanced accuracy leaves open.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import norm, t

from coordinator.training.metrics import Interval, Resampling

_HEATS = np.geomspace(0.05, 20, 25)  # temperatures that are tried, as multiples of the logits' spread
_TAIL = 0.025
LEAST_GROUPS = 2  # that hold a class; one group resampled says nothing


@dataclass(frozen=True)
class Standing:
    """A head's figures on some images, and those of the bootstrap's replicates, which are the same for all heads.

    Attributes:
        accuracy: balanced accuracy, mean over the repeats.
        loss: class-balanced log-loss in nats, at the head's best temperature.
        accuracies: float64 [replicates].
        losses: float64 [replicates].
    """

    accuracy: float
    loss: float
    accuracies: NDArray[np.float64]
    losses: NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One head less another: balanced accuracy (above 0 is better) and loss (below 0 is better)."""

    accuracy: Interval
    loss: Interval

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"balanced_accuracy": self.accuracy.document(), "loss": self.loss.document()}


@dataclass(frozen=True)
class Standings:
    """Heads over the same images.

    Attributes:
        heads: by name.
        witnesses: of the class that fewest groups hold, how many do.
    """

    heads: dict[Hashable, Standing]
    witnesses: int

    def difference(self, name: Hashable, other: Hashable) -> Difference:
        """``name`` less ``other``, with 95 % intervals of the paired replicates."""
        ours, theirs = self.heads[name], self.heads[other]
        return Difference(
            self._interval(ours.accuracy - theirs.accuracy, ours.accuracies - theirs.accuracies),
            self._interval(ours.loss - theirs.loss, ours.losses - theirs.losses),
        )

    def _interval(self, value: float, replicates: NDArray[np.float64]) -> Interval:
        if self.witnesses < LEAST_GROUPS:
            return Interval(value, None, None)
        tail = expanded_tail(self.witnesses)
        low, high = np.nanquantile(replicates, (tail, 1 - tail))
        return Interval(value, float(low), float(high))


def expanded_tail(witnesses: int) -> float:
    """The share to cut on each side for a 95 % interval: a percentile bootstrap of few groups is too narrow, by the ratio of
    Student's t to the normal quantile and by √(n / (n − 1)) (Hesterberg 2015, "expanded percentiles").
    """
    wide = np.sqrt(witnesses / (witnesses - 1)) * t.ppf(_TAIL, witnesses - 1)
    return float(norm.cdf(wide))


def standings(truth: NDArray[np.int64], groups: NDArray[Any], heads: Mapping[Any, NDArray[np.float32]]) -> Standings:
    """Figures of every head.

    Args:
        truth: [images].
        groups: [images].
        heads: logits [repeats, images, labels] of models that had not seen the image's group.
    """
    at = Resampling(groups)
    classes = next(iter(heads.values())).shape[2]
    truths = _by_group(at, truth, np.ones(len(truth)), classes)
    sums = np.stack([_sums(at, truth, logits, classes) for logits in heads.values()])  # [heads, 2, groups, labels]
    whole = _balanced(truths.sum(axis=0), sums.sum(axis=2))
    drawn = np.concatenate(
        [_balanced(draws @ truths, np.einsum("rg,hkgc->hkrc", draws, sums, optimize=True)) for draws in at.blocks()],
        axis=2,
    )
    found: dict[Hashable, Standing] = {
        name: Standing(float(whole[i, 0]), float(whole[i, 1]), drawn[i, 0], drawn[i, 1]) for i, name in enumerate(heads)
    }
    return Standings(found, int((truths > 0).sum(axis=0)[np.unique(truth)].min()))


def loss(truth: NDArray[np.int64], logits: NDArray[np.float32]) -> float:
    """Class-balanced log-loss at the best temperature, in nats; logits [images, labels]."""
    return _balanced_mean(truth, _losses(truth, logits))


def temperature(truth: NDArray[np.int64], logits: NDArray[np.float32]) -> float:
    """The temperature, of a coarse grid, at which that loss is least, geometric mean over repeats [repeats, images, labels]."""
    best = [
        min(_temperatures(run), key=lambda x, run=run: _balanced_mean(truth, _at(truth, run, x)))  # type: ignore[misc]
        for run in logits
    ]
    return float(np.exp(np.mean(np.log(best))))


def _sums(at: Resampling, truth: NDArray[np.int64], logits: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """Right answers and losses [2, groups, labels], mean over the repeats."""
    right = (logits.argmax(axis=2) == truth).mean(axis=0)
    lost = np.mean([_losses(truth, run) for run in logits], axis=0)
    return np.stack([_by_group(at, truth, right, classes), _by_group(at, truth, lost, classes)])


def _losses(truth: NDArray[np.int64], logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-loss of each image at the temperature that is best for all, each class counting alike."""
    tried = [_at(truth, logits, x) for x in _temperatures(logits)]
    return min(tried, key=lambda found: _balanced_mean(truth, found))


def _temperatures(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    spread = float((logits - logits.mean(axis=1, keepdims=True)).std())
    return _HEATS * max(spread, 1e-9)


def _at(truth: NDArray[np.int64], logits: NDArray[np.float32], heat: float) -> NDArray[np.float64]:
    """Log-loss of each image at a temperature."""
    return np.asarray(-log_softmax(logits.astype(np.float64) / heat, axis=1)[np.arange(len(truth)), truth])


def _balanced_mean(truth: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    return float(np.mean([values[truth == c].mean() for c in np.unique(truth)]))


def _by_group(
    at: Resampling, truth: NDArray[np.int64], values: NDArray[np.float64], classes: int
) -> NDArray[np.float64]:
    cells = np.bincount(at.group_of * classes + truth, values, minlength=at.groups * classes)
    return cells.astype(np.float64).reshape(at.groups, classes)


def _balanced(truths: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes that occur of sums [..., labels] per image [labels] or [replicates, labels]."""
    counts = np.broadcast_to(truths, sums.shape)
    rates = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.asarray(np.nanmean(rates, axis=-1))
