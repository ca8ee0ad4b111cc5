"""Which way of combining the sites' changes, and with which numbers, by how many sites there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Strategy = Literal["fedprox", "fedadam", "median", "trimmed", "multikrum"]
STRATEGIES: tuple[Strategy, ...] = ("fedprox", "fedadam", "median", "trimmed", "multikrum")
LEAST_SITES = 2
_LEAST_FOR_TRIMMING = 5
_LEAST_FOR_MEDIAN = 3
_USUAL_TRIM = 0.2


@dataclass(frozen=True)
class Krum:
    """How many sites may be malicious, and how many are averaged."""

    malicious: int
    selected: int


def automatic(sites: int) -> Strategy:
    """The default: as robust as so many sites allow. Of two nobody can say which one is wrong."""
    if sites >= _LEAST_FOR_TRIMMING:
        return "trimmed"
    return "median" if sites >= _LEAST_FOR_MEDIAN else "fedprox"


def trim_fraction(replies: int) -> float:
    """A fraction that takes at least one value off each side; 0 where nothing would be left."""
    if replies < _LEAST_FOR_MEDIAN:
        return 0.0
    return max(_USUAL_TRIM, (1 + 1e-6) / replies)


def krum(replies: int) -> Krum:
    """Sound numbers (Blanchard et al. 2017): n >= 2 f + 3, and n - f - 2 are averaged."""
    malicious = max(0, min((replies - 3) // 2, replies // 5))
    return Krum(malicious, max(1, replies - malicious - 2))


def quorum(sites: int) -> int:
    """Replies without which a round does not count: more than half of the sites, at least ``LEAST_SITES``."""
    return max(LEAST_SITES, sites // 2 + 1)
