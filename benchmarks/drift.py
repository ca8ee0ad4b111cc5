"""Drift alarms over simulated site-years: how often one is false, and how many results a threefold rise takes to be seen.

Sites send so many results a day, fewer on weekends. ``alike`` is how much the pictures of one day resemble each other, as those
of one patient do: the intraclass correlation of a beta-binomial. Every day is looked at, as the command does.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta

import numpy as np
from figures import figure

from coordinator.fleet.drift import FALSE_ALARMS_A_SITE_YEAR, DayCounts, alarms

START = date(2026, 1, 1)
RATES = (0.06, 0.02, 0.03)  # unsure, not this kind of image, poor quality
DISAGREEMENT, CONFIRMED = 0.1, 0.5
BEFORE, AFTER, YEAR = 150, 200, 365
UNSEEN = 10**9


def site(
    chance: np.random.Generator, rates: tuple[float, ...], a_day: float, days: int, alike: float = 0.0
) -> list[DayCounts]:
    """Days of one site."""
    found = []
    for number in range(days):
        n = int(chance.poisson(a_day * (0.2 if number % 7 > 4 else 1.3)))
        of_day = [chance.beta(p * (1 / alike - 1), (1 - p) * (1 / alike - 1)) if alike else p for p in rates]
        words = int(chance.binomial(n, CONFIRMED))
        counts = [(int(chance.binomial(n, p)), n) for p in of_day]
        counts.append((int(chance.binomial(words, DISAGREEMENT)), words))
        found.append(DayCounts(START + timedelta(days=number), tuple(counts)))
    return found


def false_alarms(chance: np.random.Generator, years: int, a_day: float, alike: float) -> int:
    """In how many of so many site-years anything was raised."""
    count = 0
    for _ in range(years):
        days = site(chance, RATES, a_day, YEAR, alike)
        count += any(alarms(days[:end], START + timedelta(days=end)) for end in range(1, YEAR + 1))
    return count


def results_until_seen(chance: np.random.Generator, a_day: float, base: float) -> int | None:
    """Results of the site after its rate of unsure ones has risen from ``base`` to three times that, until the alarm."""
    days = site(chance, (base, *RATES[1:]), a_day, BEFORE)
    later = site(chance, (3 * base, *RATES[1:]), a_day, AFTER)
    days += [DayCounts(day.day + timedelta(days=BEFORE), day.counts) for day in later]
    for end in range(BEFORE + 1, BEFORE + AFTER + 1):
        if any(alarm.rate == "unsure" for alarm in alarms(days[:end], START + timedelta(days=end))):
            return sum(day.counts[0][1] for day in days[BEFORE:end])
    return None


def main() -> None:
    years = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    chance = np.random.default_rng(2026)
    for a_day, alike in ((20, 0.0), (4, 0.0), (20, 0.05)):
        count = false_alarms(chance, years, a_day, alike)
        figure(
            f"site-years with a false drift alarm, {a_day} results a day, alike {alike}",
            f"{count} of {years}",
            "—",
            None,
            f"at most {FALSE_ALARMS_A_SITE_YEAR:.0%}",
            count <= FALSE_ALARMS_A_SITE_YEAR * years,
        )
    for a_day, base, tenths, most in ((20, 0.06, 9, 500), (20, 0.1, 9, 350), (4, 0.06, 8, 800)):
        seen = [results_until_seen(chance, a_day, base) for _ in range(min(years, 100))]
        numbers = sorted(UNSEEN if x is None else x for x in seen)
        by = numbers[tenths * len(numbers) // 10]
        figure(
            f"results until a rise of unsure from {base:.0%} to {3 * base:.0%} is seen, {a_day} a day",
            f"median {numbers[len(numbers) // 2]}, {tenths} of 10 by {by}, unseen {seen.count(None)} of {len(seen)}",
            "—",
            None,
            f"{tenths} of 10 by {most}",
            by <= most,
        )


if __name__ == "__main__":
    main()
