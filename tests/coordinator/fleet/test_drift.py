"""Drift alarms: few false ones, a threefold rise is seen, and the sums of heartbeats are taken apart rightly."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from coordinator.fleet.drift import RATES, DayCounts, alarms, by_day, more_by_chance, overdispersion, summed
from coordinator.fleet.fleet import Fleet
from coordinator.fleet.report import accuracy
from coordinator.fleet.rows import Arrival, FleetRows
from protocols.heartbeat import Outcomes
from tests.support.coordinator import NOW, database, enrol
from tests.support.heartbeats import HEART, SENT, health

START = date(2026, 1, 1)
QUIET = (0.06, 0.02, 0.03, 0.1)


def site(
    chance: np.random.Generator, rates: tuple[float, ...], days: int, a_day: float, first: int = 0
) -> list[DayCounts]:
    sizes = chance.poisson(a_day, days)
    return [
        DayCounts(START + timedelta(days=first + k), tuple((int(chance.binomial(n, p)), int(n)) for p in rates))
        for k, n in enumerate(sizes)
    ]


def looked(days: list[DayCounts], first: int) -> list[tuple[int, str]]:
    """Every alarm of every day from ``first`` on: the number of days that it could see, and its rate."""
    return [
        (end, alarm.rate)
        for end in range(first, len(days) + 1)
        for alarm in alarms(days[:end], START + timedelta(days=end))
    ]


def test_a_quiet_site_raises_no_alarm_in_a_year() -> None:
    """By construction fewer than 1 % of site-years; the benchmark ``drift`` measures more of them."""
    chance = np.random.default_rng(1)
    for _ in range(12):
        assert looked(site(chance, QUIET, 365, 15), 1) == []


@pytest.mark.parametrize("place", range(len(RATES)))
def test_a_threefold_rise_is_seen_within_stated_counts(place: int) -> None:
    """From 10 % to 30 %, 20 results a day: within 400 results in at least 9 of 10 sites, and of no other rate."""
    chance = np.random.default_rng(place)
    rates = [0.1 if k == place else rate for k, rate in enumerate(QUIET)]
    worse = [0.3 if k == place else rate for k, rate in enumerate(QUIET)]
    seen = 0
    for _ in range(10):
        days = site(chance, tuple(rates), 120, 20) + site(chance, tuple(worse), 20, 20, first=120)
        found = looked(days, 121)
        seen += bool(found)
        assert {rate for _, rate in found} <= {RATES[place]}
    assert seen >= 9


def test_today_does_not_count_and_one_bad_day_is_no_drift() -> None:
    chance = np.random.default_rng(3)
    days = site(chance, QUIET, 120, 20)
    bad = DayCounts(START + timedelta(days=120), ((60, 60), (0, 60), (0, 60), (0, 30)))
    assert alarms([*days, bad], bad.day) == []
    assert alarms([*days, bad], bad.day + timedelta(days=1)) == []


def test_more_releases_at_a_site_share_its_one_per_cent() -> None:
    chance = np.random.default_rng(4)
    days = site(chance, QUIET, 120, 20) + site(chance, (0.3, *QUIET[1:]), 30, 20, first=120)
    one, many = (alarms(days, START + timedelta(days=150), releases=count)[0] for count in (1, 5))
    assert one.threshold == pytest.approx(5 * many.threshold) and one.p_value == many.p_value


@pytest.mark.parametrize(
    "counts", [(5, 10, 5, 100), (0, 10, 5, 100), (40, 140, 60, 1000), (3, 3, 0, 9), (200, 300, 80, 900)]
)
def test_the_exact_test_is_fishers(counts: tuple[int, int, int, int]) -> None:
    k1, n1, k0, n0 = counts
    table = [[k1, n1 - k1], [k0, n0 - k0]]
    assert more_by_chance(*counts) == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-6)


def test_days_that_resemble_themselves_count_for_less() -> None:
    chance = np.random.default_rng(5)
    alike = [(20 if chance.random() < 0.1 else 0, 20) for _ in range(100)]
    apart = [(int(chance.binomial(20, 0.1)), 20) for _ in range(100)]
    assert overdispersion(alike) > 10 and overdispersion(apart) < 1.6
    assert overdispersion([(0, 20)] * 40) == 1.0


def test_sums_become_days_and_begin_anew_with_an_activation() -> None:
    first = health(outcomes=Outcomes(10, 1, 0, 0), confirmed=4, agreed=4)
    kept = [
        (START, first),
        (START + timedelta(days=2), replace(first, outcomes=Outcomes(15, 4, 1, 0), confirmed=6, agreed=5)),
        (START + timedelta(days=3), health(since=SENT + timedelta(days=1), outcomes=Outcomes(2, 1, 0, 0))),
    ]
    assert [day.counts for day in by_day(kept)] == [
        ((1, 11), (0, 11), (0, 11), (0, 4)),
        ((3, 9), (1, 9), (0, 9), (1, 2)),
        ((1, 3), (0, 3), (0, 3), (0, 0)),
    ]
    both = summed([by_day(kept), by_day(kept[:1])])
    assert [day.counts[0] for day in both] == [(2, 22), (3, 9), (1, 3)]


def test_wilsons_interval() -> None:
    assert accuracy(0, 0) is None
    assert accuracy(36, 40) == {"value": 0.9, "low": 0.7695, "high": 0.9604}
    assert accuracy(5, 5) == {"value": 1.0, "low": 0.5655, "high": 1.0}


async def test_a_site_that_drifts_is_named_and_its_neighbour_is_not(tmp_path: Path) -> None:
    chance = np.random.default_rng(6)
    async with database(tmp_path) as opened:
        rows, fleet = FleetRows(opened), Fleet(opened)
        for node, place in (("a" * 16, "North"), ("b" * 16, "North"), ("c" * 16, "South")):
            await enrol(opened, node, site=place)
            arrivals, told = [], Outcomes()
            for day in range(90):
                unsure = int(chance.binomial(10, 0.35 if day >= 70 and place == "North" else 0.1))
                told = replace(told, recognised=told.recognised + 10 - unsure, unsure=told.unsure + unsure)
                sent = NOW - timedelta(days=90 - day)
                beat = replace(HEART, serial=day + 1, sent=sent, releases=(health(outcomes=told),))
                arrivals.append((node, Arrival(node, beat, "parcel")))
            await rows.keep(arrivals, NOW)
        (found,) = await fleet.alarms(NOW)
        node = await fleet.node("a" * 16, NOW)
    assert (found.site, found.release, found.alarm.rate) == ("North", "malaria@1", "unsure")
    assert found.document()["recent"]["rate"] > 2 * found.document()["earlier"]["rate"]
    assert len(node["history"]) == 90 and node["usual_pause_days"] == 1
