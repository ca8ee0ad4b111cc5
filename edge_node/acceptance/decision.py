"""Whether a candidate is worse than the release in use, on the same labelled images. Arithmetic only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_node.acceptance.comparison import Comparison

LEAST_IMAGES = 20
LEAST_GROUPS = 10  # below it a bootstrap over patients says little
LEAST_OF_LABEL = 5  # images; a label with fewer would sway a mean over labels by chance
_RESAMPLES = 2000
_SEED = 20260201  # the same images always give the same figures
_Z = 1.959964  # of a two-sided interval of 95 %


def compare(
    truth: NDArray[np.str_], active: NDArray[np.bool_], candidate: NDArray[np.bool_], groups: NDArray[np.str_]
) -> Comparison:
    """Compare two releases that saw the same images.

    The difference of their balanced accuracies is resampled by whole groups, so that several pictures of one patient do not
    pass for several patients. With few groups the percentiles of such a bootstrap lie too close together; they are moved out
    by Student's factor for that many groups (Hesterberg 2015, section 5.3, on the narrowness of percentile intervals).

    Args:
        truth: the images' labels [images].
        active, candidate: whether each release's likeliest label was right [images].
        groups: what pictures of one patient or case share [images].
    """
    labels, counts = np.unique(truth, return_counts=True)
    counted = np.isin(truth, labels[counts >= LEAST_OF_LABEL])
    truth, active, candidate, groups = truth[counted], active[counted], candidate[counted], groups[counted]
    labels, of_label = np.unique(truth, return_inverse=True)
    names, of_group = np.unique(groups, return_inverse=True)
    if len(labels) < 2 or len(truth) < LEAST_IMAGES or len(names) < LEAST_GROUPS:
        return Comparison("too_few", None, None, None, None, len(truth), len(names))

    def table(weight: NDArray[np.bool_] | NDArray[np.int64]) -> NDArray[np.float64]:
        found = np.zeros((len(names), len(labels)))
        np.add.at(found, (of_group, of_label), weight)
        return found

    seen = table(np.ones(len(truth), dtype=np.int64))
    gained = table(candidate.astype(np.int64) - active.astype(np.int64))
    weights = np.random.default_rng(_SEED).multinomial(len(names), [1 / len(names)] * len(names), size=_RESAMPLES)
    drawn = weights @ seen
    differences = np.where(drawn > 0, weights @ gained / np.maximum(drawn, 1), np.nan)
    low, high = np.percentile(np.nanmean(differences, axis=1), [2.5, 97.5])
    centre = float((gained.sum(axis=0) / seen.sum(axis=0)).mean())
    stretch = _student(len(names) - 1) / _Z * np.sqrt(len(names) / (len(names) - 1))
    low, high = centre + stretch * min(low - centre, 0.0), centre + stretch * max(high - centre, 0.0)
    return Comparison(
        "worse" if round(high, 4) < 0 else "not_worse",
        round(float((table(candidate).sum(axis=0) / seen.sum(axis=0)).mean()), 4),
        round(float((table(active).sum(axis=0) / seen.sum(axis=0)).mean()), 4),
        round(max(float(low), -1.0), 4),
        round(min(float(high), 1.0), 4),
        len(truth),
        len(names),
    )


def _student(degrees: int) -> float:
    """The 97.5 % point of Student's t, by its Cornish-Fisher expansion; right to 0.002 from nine degrees on."""
    z, v = _Z, float(degrees)
    return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
