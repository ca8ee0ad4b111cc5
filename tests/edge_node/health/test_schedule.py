"""When heartbeats are due, and that a day of them stays small whatever happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edge_node.health.schedule import EVERY, GAP, Schedule
from protocols.heartbeat import MAX_FRAME_BYTES, Decline, Heartbeat, Outcomes
from tests.support.heartbeats import HEALTH, HEART, SENT


def counted(number: int) -> Heartbeat:
    return replace(HEART, releases=(replace(HEALTH, outcomes=Outcomes(number)),))


def failed(number: int) -> Heartbeat:
    return replace(HEART, releases=(replace(HEALTH, failures=number),))


def accepted(schedule: Schedule, heartbeat: Heartbeat = HEART, size: int = 600) -> Schedule:
    assert schedule.is_due(heartbeat, SENT)
    schedule.accepted(heartbeat, size, SENT)
    return schedule


def test_the_first_goes_at_once_and_then_one_in_six_hours() -> None:
    schedule = accepted(Schedule())
    quiet = replace(HEART, outbox_waiting=99, storage_free_bytes=1, events=())
    assert not schedule.is_due(quiet, SENT + EVERY - timedelta(seconds=1))
    assert schedule.is_due(quiet, SENT + EVERY)


def test_new_results_wait_a_little_and_what_a_manager_waits_for_does_not() -> None:
    schedule = accepted(Schedule())
    assert not schedule.is_due(counted(91), SENT + GAP - timedelta(seconds=1))
    assert schedule.is_due(counted(91), SENT + GAP)
    soon = SENT + timedelta(seconds=6)
    assert schedule.is_due(failed(2), soon)
    assert schedule.is_due(replace(HEART, declined=(Decline("skin", "skin@3", "by_hand"),)), soon)
    assert schedule.is_due(replace(HEART, releases=(replace(HEALTH, release="malaria@2"),)), soon)


def test_a_restart_does_not_send_again_what_is_known() -> None:
    from edge_node.health.schedule import gist, urgent

    schedule = Schedule()
    schedule.recall(SENT, gist(HEART), urgent(HEART))
    assert not schedule.is_due(HEART, SENT + timedelta(minutes=30))
    assert schedule.is_due(failed(9), SENT + timedelta(minutes=1))


def test_failures_leave_the_line_alone_for_longer_each_time() -> None:
    schedule, now, tries = Schedule(), SENT, 0
    while now < SENT + timedelta(days=1):
        if schedule.is_due(HEART, now):
            schedule.failed(600, now)
            tries += 1
        now += timedelta(seconds=30)
    assert tries <= 14


def test_a_clock_that_was_put_back_stops_nothing() -> None:
    schedule = accepted(Schedule())
    assert schedule.is_due(HEART, SENT - timedelta(days=400))
    schedule.failed(0, SENT)
    assert schedule.is_due(HEART, SENT - timedelta(days=400))


@pytest.mark.parametrize("size", [700, 5_000, MAX_FRAME_BYTES])
@pytest.mark.parametrize("news", [counted, failed])
def test_the_worst_day_stays_below_100_kb(news: object, size: int) -> None:
    schedule, now, spent = Schedule(timedelta(seconds=5)), SENT, 0
    for number in range(1, 4 * 24 * 60):  # news four times a minute
        heartbeat = news(number)  # type: ignore[operator]
        if schedule.is_due(heartbeat, now):
            schedule.accepted(heartbeat, size, now)
            spent += size
        now += timedelta(seconds=15)
    assert 0 < spent <= 100_000
