"""Drift alarms: a site's last days against its own earlier ones, with few false alarms by construction. Pure.

Every day, for each release in use at a site, each rate below is compared between the last 7, 28 and 91 whole days and everything
before: the one-sided exact test of two proportions (Fisher). A threshold of 1 % divided by all tests of a site's year keeps the
chance of any false alarm in a year below 1 % (Bonferroni), however the tests hang together. Pictures of one patient resemble
each other; counts are therefore divided by how much more the site's own days differ than independent pictures would.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from protocols.heartbeat import Outcomes, ReleaseHealth

FALSE_ALARMS_A_SITE_YEAR = 0.01
RATES = ("unsure", "not_this_kind_of_image", "poor_quality", "disagreement")
WINDOWS_DAYS = (7, 28, 91)
_DAYS = 366
_LEAST_EARLIER, _LEAST_DAYS = (
    100,
    28,
)  # pictures, or confirmations, and days with any; before these a site has no history
_LEAST_RATIO = 1.5  # a smaller rise is nobody's concern, however certain


@dataclass(frozen=True)
class DayCounts:
    """What was counted on one day: for each of ``RATES``, how many of how many."""

    day: date
    counts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Alarm:
    """A rate that has risen.

    Attributes:
        rate: one of ``RATES``.
        window_days: the last whole days in which it has.
        recent, earlier: how many of how many, as counted.
        p_value: of the exact test; the alarm is raised below ``threshold``.
        spread: how much more the days differ than independent pictures would; 1: not at all.
    """

    rate: str
    window_days: int
    recent: tuple[int, int]
    earlier: tuple[int, int]
    p_value: float
    threshold: float
    spread: float


def by_day(kept: Sequence[tuple[date, ReleaseHealth]]) -> list[DayCounts]:
    """What was counted between the heartbeats of one node about one release, which tell sums; ascending by day."""
    found: list[DayCounts] = []
    before: ReleaseHealth | None = None
    for day, health in kept:
        began_anew = before is None or health.since != before.since or health.outcomes.total < before.outcomes.total
        last = None if began_anew else before
        was = Outcomes() if last is None else last.outcomes
        seen = max(health.outcomes.total - was.total, 0)
        words = max(health.confirmed - (0 if last is None else last.confirmed), 0)
        agreed = health.agreed - (0 if last is None else last.agreed)
        rises = (
            (health.outcomes.unsure - was.unsure, seen),
            (health.outcomes.not_this_kind_of_image - was.not_this_kind_of_image, seen),
            (health.outcomes.poor_quality - was.poor_quality, seen),
            (words - agreed, words),
        )
        found.append(DayCounts(day, tuple((min(max(part, 0), whole), whole) for part, whole in rises)))
        before = health
    return found


def summed(nodes: Iterable[Sequence[DayCounts]]) -> list[DayCounts]:
    """The days of several nodes of one site together, ascending."""
    sums: dict[date, list[tuple[int, int]]] = {}
    for days in nodes:
        for day in days:
            known = sums.setdefault(day.day, [(0, 0)] * len(RATES))
            sums[day.day] = [(k + dk, n + dn) for (k, n), (dk, dn) in zip(known, day.counts, strict=True)]
    return [DayCounts(day, tuple(sums[day])) for day in sorted(sums)]


def alarms(days: Sequence[DayCounts], today: date, releases: int = 1) -> list[Alarm]:
    """The rates that have risen by yesterday, at most one alarm each: that of the smallest p-value.

    Args:
        days: of one release at one site.
        today: is not over, and does not count; so that a day is tested once however often one looks.
        releases: how many are in use at the site; they share its one per cent.
    """
    threshold = FALSE_ALARMS_A_SITE_YEAR / (_DAYS * len(RATES) * len(WINDOWS_DAYS) * max(releases, 1))
    found = []
    for place, rate in enumerate(RATES):
        series = [(day.day, *day.counts[place]) for day in days if day.day < today and day.counts[place][1]]
        tested = (_test(rate, series, today, window, threshold) for window in WINDOWS_DAYS)
        raised = [alarm for alarm in tested if alarm is not None and alarm.p_value < threshold]
        if raised:
            found.append(min(raised, key=lambda alarm: alarm.p_value))
    return found


def _test(
    rate: str, series: Sequence[tuple[date, int, int]], today: date, window: int, threshold: float
) -> Alarm | None:
    start = bisect_left(series, (today - timedelta(days=window),))
    earlier_days, recent_days = ([(k, n) for _, k, n in part] for part in (series[:start], series[start:]))
    (k1, n1), (k0, n0) = _sum(recent_days), _sum(earlier_days)
    if n0 < _LEAST_EARLIER or len(earlier_days) < _LEAST_DAYS or not k1 or k1 * n0 < _LEAST_RATIO * k0 * n1:
        return None
    spread = overdispersion(earlier_days)
    worst = max(recent_days, key=lambda day: day[0] - day[1] * k0 / n0)
    effective = [round(x / spread) for x in (k1 - worst[0], n1 - worst[1], k0, n0)]
    return Alarm(rate, window, (k1, n1), (k0, n0), more_by_chance(*effective), threshold, spread)


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    k, n = 0, 0
    for dk, dn in pairs:
        k, n = k + dk, n + dn
    return k, n


def overdispersion(days: Sequence[tuple[int, int]]) -> float:
    """How much more days differ than independent pictures would, at least 1.

    Pearson's chi-square over its degrees of freedom, and two of its standard errors on top, since a few days tell it badly.
    """
    (k, n), freedom = _sum(days), len(days) - 1
    if not 0 < k < n:
        return 1.0
    p = k / n
    chi_square = sum((found - size * p) ** 2 / (size * p * (1 - p)) for found, size in days)
    ratio = chi_square / freedom
    return max(ratio * (1 + 2 * math.sqrt(2 / freedom)), 1.0) if ratio > 1 else 1.0


def more_by_chance(k1: int, n1: int, k0: int, n0: int) -> float:
    """Fisher's one-sided p-value: that chance alone puts ``k1`` or more of all ``k1 + k0`` among the ``n1`` of ``n1 + n0``."""
    k, n = k1 + k0, n1 + n0
    whole = _log_choose(n, k)
    terms = (_log_choose(n1, i) + _log_choose(n0, k - i) - whole for i in range(max(k1, k - n0), min(k, n1) + 1))
    return min(sum(map(math.exp, terms)), 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
