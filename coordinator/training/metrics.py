"""Figures that a reader can trust: every image counted, intervals by resampling whole groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

_REPLICATES = 2000
_SEED = 20_240_501


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float]:
        """The JSON form, four decimals."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


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
    truth: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.str_], classes: int
) -> Interval:
    """Balanced accuracy; the interval resamples groups with replacement (cluster bootstrap, 2000 replicates)."""
    _, inverse = np.unique(groups, return_inverse=True)
    count = int(inverse.max()) + 1
    tables = np.zeros((count, classes, classes))
    np.add.at(tables, (inverse, truth, predicted), 1)
    draws = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), size=_REPLICATES)
    replicates = (draws @ tables.reshape(count, -1)).reshape(-1, classes, classes)
    values = [balanced_accuracy(table) for table in replicates]
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(balanced_accuracy(confusion(truth, predicted, classes)), float(low), float(high))


def auc_macro(truth: NDArray[np.int64], scores: NDArray[np.float64]) -> float | None:
    """Mean one-against-rest area under the ROC curve; None where a class does not occur."""
    classes = scores.shape[1]
    if len(np.unique(truth)) < classes:
        return None
    return float(np.mean([roc_auc_score(truth == c, scores[:, c]) for c in range(classes)]))


def expected_calibration_error(truth: NDArray[np.int64], scores: NDArray[np.float64], bins: int = 15) -> float:
    """Gap between top score and accuracy over equal-mass bins (Nixon et al. 2019)."""
    top = scores.max(axis=1)
    right = scores.argmax(axis=1) == truth
    order = np.argsort(top, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    return float(sum(len(p) * abs(top[p].mean() - right[p].mean()) for p in parts) / len(top))


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
