"""How many images a site has: stated coarsely, believed within bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError

MAX_COUNT = 1_000_000
_LEAST = 10  # fewer are stated as this, so that nobody reads from it who came when
_MOST_OF_MEDIAN = 4.0  # a site that says that it has more counts as so much


def coarse(count: int) -> int:
    """The nearest of 0, 10, 20, 50, 100, 200, … by ratio; never more than ``MAX_COUNT``."""
    if count <= 0:
        return 0
    best = min(_series(), key=lambda step: (abs(np.log(step / count)), step))
    return int(best)


def _series() -> list[int]:
    return [m * 10**e for e in range(1, 7) for m in (1, 2, 5) if _LEAST <= m * 10**e <= MAX_COUNT]


def read_counts(value: object, labels: int) -> NDArray[np.float64]:
    """A site's coarse counts from a stranger, float64 [labels].

    Raises:
        ProtocolError: ``federation.reply_count``.
    """
    if not isinstance(value, list) or len(value) != labels:
        raise ProtocolError("federation.reply_count")
    if not all(type(x) is int and x in (0, *_series()) for x in value):
        raise ProtocolError("federation.reply_count")
    return np.array(value, dtype=np.float64)


def agree(counts: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    """What all sites weigh by: class weights float64 [labels], and the images of the mean site.

    Every class counts alike over all sites; a class that nobody has weighs nothing. A site whose total is far above the
    median counts as a few medians, so that a lie moves little.
    """
    stacked = np.stack(counts)
    totals = stacked.sum(axis=1)
    most = _MOST_OF_MEDIAN * float(np.median(totals))
    bounded = stacked * np.minimum(1.0, most / np.maximum(totals, 1.0))[:, np.newaxis]
    per_class, everything = bounded.sum(axis=0), float(bounded.sum())
    present = per_class > 0
    weights = np.zeros(len(per_class))
    weights[present] = everything / (present.sum() * per_class[present])
    return weights, everything / len(stacked)
