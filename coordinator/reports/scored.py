"""Labelled images with the scores that a model gave them unseen, and what plots and tables read from them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coordinator.training import metrics
from coordinator.training.metrics import Interval, Reliability

_GRID = 1001  # points at which the curves of several repeats are averaged


@dataclass(frozen=True)
class Curve:
    """A ROC curve from (0, 0) to (1, 1): share of false alarms and sensitivity, each [points]."""

    false_alarms: NDArray[np.float64]
    sensitivity: NDArray[np.float64]


@dataclass(frozen=True)
class Mistake:
    """An image whose likeliest label is not the true one."""

    image: str
    truth: str
    given: str
    score_of_given: float
    score_of_truth: float
    outcome: str | None


@dataclass(frozen=True)
class ClassCoverage:
    """How often prediction sets hold the true label of one class, and how large they are.

    Attributes:
        covered: None where no image has the label.
        none, one, several: shares of the sets with so many labels.
    """

    covered: Interval | None
    size: float
    none: float
    one: float
    several: float


@dataclass(frozen=True)
class Scored:
    """Labelled images with scores.

    Attributes:
        names: of the labels.
        ids: of the images, as a reader may see them.
        truth: int64 [images].
        groups: [images].
        scores: float64 [repeats, images, labels].
        in_set: bool [repeats, images, labels], the prediction sets.
        outcomes: [images], where whole answers were given.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    truth: NDArray[np.int64]
    groups: NDArray[np.int64] | NDArray[np.str_]
    scores: NDArray[np.float64]
    in_set: NDArray[np.bool_]
    outcomes: tuple[str, ...] | None = None

    def confusion(self) -> NDArray[np.float64]:
        """Images [true, given], mean over the repeats."""
        tables = [metrics.confusion(self.truth, run.argmax(axis=1), len(self.names)) for run in self.scores]
        return np.asarray(np.mean(tables, axis=0))

    def roc(self, label: int) -> Curve | None:
        """One label against the rest, averaged over the repeats at equal false alarms; None where it is undefined."""
        positive = self.truth == label
        if positive.all() or not positive.any():
            return None
        curves = [roc(positive, run[:, label]) for run in self.scores]
        if len(curves) == 1:
            return curves[0]
        grid = np.linspace(0, 1, _GRID)
        mean = np.mean([np.interp(grid, c.false_alarms, c.sensitivity) for c in curves], axis=0)
        return Curve(np.concatenate([[0.0], grid]), np.concatenate([[0.0], mean]))

    def reliability(self) -> Reliability:
        """Top scores against the truth; the repeats together."""
        return metrics.reliability(
            np.tile(self.truth, len(self.scores)), self.scores.reshape(-1, len(self.names)).astype(np.float64)
        )

    def coverage(self) -> tuple[list[ClassCoverage | None], ClassCoverage]:
        """By label (None: it does not occur), and of all images."""
        covered = self.in_set[:, np.arange(len(self.truth)), self.truth]
        sizes = self.in_set.sum(axis=2)

        def of(rows: NDArray[np.bool_]) -> ClassCoverage | None:
            if not rows.any():
                return None
            here = sizes[:, rows]
            return ClassCoverage(
                metrics.share_interval(covered[:, rows], self.groups[rows]),
                float(here.mean()),
                *(float(share.mean()) for share in (here == 0, here == 1, here > 1)),
            )

        everything = of(np.ones(len(self.truth), dtype=bool))
        assert everything is not None  # there are images
        return [of(self.truth == label) for label in range(len(self.names))], everything

    def mistakes(self) -> list[Mistake]:
        """Wrong by the mean score, the most confident first; those that a clinician would have been shown as an answer
        before all others.
        """
        mean = self.scores.mean(axis=0)
        given = mean.argmax(axis=1)
        found = [
            Mistake(
                self.ids[i],
                self.names[self.truth[i]],
                self.names[given[i]],
                float(mean[i, given[i]]),
                float(mean[i, self.truth[i]]),
                None if self.outcomes is None else self.outcomes[i],
            )
            for i in np.flatnonzero(given != self.truth)
        ]
        return sorted(found, key=lambda m: (m.outcome != "recognised", m.score_of_truth - m.score_of_given, m.image))


def roc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> Curve:
    """The curve of one score [images]; equal scores make one sloping step."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # of each run of equal scores
    hits, alarms = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    return Curve(np.concatenate([[0], alarms / alarms[-1]]), np.concatenate([[0], hits / hits[-1]]))
