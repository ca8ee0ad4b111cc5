"""Intervals for shares of small counts. Pure.

Wilson's score interval and Newcombe's hybrid interval for a difference (Newcombe, Statistics in Medicine 1998, 17:857 and 17:873,
methods 3 and 10): they hold for a handful of trials, and for shares of none and all, where the usual formula has no width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist


def wilson(hits: float, trials: float, confidence: float) -> tuple[float, float]:
    """Bounds of a share, two-sided; counts may be fractions, as where trials were weighted. (0, 1) without trials."""
    if trials <= 0:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = min(max(hits / trials, 0.0), 1.0)
    centre = share + z2 / (2 * trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2)))
    scale = 1 + z2 / trials
    low, high = (centre - half) / scale, (centre + half) / scale
    return (low if share > 0 else 0.0), (high if share < 1 else 1.0)


def newcombe(
    hits: float, trials: float, other_hits: float, other_trials: float, confidence: float
) -> tuple[float, float]:
    """Bounds of the first share less the other. (-1, 1) where either has no trials."""
    if trials <= 0 or other_trials <= 0:
        return -1.0, 1.0
    share, other = hits / trials, other_hits / other_trials
    low, high = wilson(hits, trials, confidence)
    other_low, other_high = wilson(other_hits, other_trials, confidence)
    return (
        share - other - math.hypot(share - low, other_high - other),
        share - other + math.hypot(high - share, other - other_low),
    )


def standardised(
    strata: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]
) -> tuple[float, float, float, float]:
    """Two shares over the same strata, the other one weighted as if its trials were spread like the first one's.

    A site that is unsure more often than the rest and happens to be busier now than before would else look like a change.

    Args:
        strata: hits and trials of each stratum.
        others: the same of what is compared with; strata where either side has no trials are left out.

    Returns:
        hits, trials, other's hits, other's trials. The last is the effective number: fewer where the weights are uneven.
    """
    pairs = [(a, b) for a, b in zip(strata, others, strict=True) if a[1] > 0 and b[1] > 0]
    hits, trials = sum(a[0] for a, _ in pairs), sum(a[1] for a, _ in pairs)
    if not pairs:
        return 0.0, 0.0, 0.0, 0.0
    share = sum(a[1] / trials * b[0] / b[1] for a, b in pairs)
    effective = trials**2 / sum(a[1] ** 2 / b[1] for a, b in pairs)
    return hits, trials, share * effective, effective
