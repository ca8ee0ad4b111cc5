"""Silence is judged by a node's own rhythm."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from coordinator.fleet.rhythm import staleness, usual_pause_days

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALWAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(90)]
MONDAYS = ALWAYS[1::7]
WORKDAYS = [day for day in ALWAYS if day.weekday() < 5]


@pytest.mark.parametrize(
    ("heard", "silent_days", "expected"),
    [
        (ALWAYS, 1.5, "fresh"),
        (ALWAYS, 2.5, "late"),
        (ALWAYS, 5, "lost"),
        (WORKDAYS, 3, "fresh"),
        (WORKDAYS, 6, "late"),
        (WORKDAYS, 12, "lost"),
        (MONDAYS, 9, "fresh"),
        (MONDAYS, 15, "late"),
        (MONDAYS, 30, "lost"),
        ([], 5, "fresh"),
        ([], 40, "lost"),
    ],
)
def test_the_same_silence_means_something_else_for_each(heard: list[date], silent_days: float, expected: str) -> None:
    assert staleness(heard, NOW - timedelta(days=silent_days), NOW) == expected


def test_who_never_came_is_neither_late_nor_lost() -> None:
    assert staleness([], None, NOW) == "never"


def test_one_long_holiday_does_not_become_the_rule() -> None:
    assert usual_pause_days([*ALWAYS[:40], *ALWAYS[70:]]) == 1
