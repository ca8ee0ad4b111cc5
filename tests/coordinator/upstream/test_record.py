"""What TUF leaves to the application: a rising serial, time that never goes back, revocations that stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.errors import CoordinatorError
from coordinator.upstream.record import Record, Seen, take_in
from protocols.trust import Revocation, Rollout

NOW = datetime(2026, 2, 1, tzinfo=UTC)
KEYS, OTHERS = frozenset({"k"}), frozenset({"x"})


def seen(serial: int, *revoked: str, keys: frozenset[str] = KEYS, fresh: datetime = NOW) -> Seen:
    rollout = Rollout(serial, "North", None, (), tuple(Revocation(name, "bad") for name in revoked))
    expires = fresh + timedelta(days=7)
    return Seen(rollout.to_bytes(), rollout, keys, expires, {"timestamp": expires, "root": NOW + timedelta(days=900)})


def code(former: Record | None, news: Seen, least: int = 0, now: datetime = NOW) -> str:
    with pytest.raises(CoordinatorError) as caught:
        take_in(former, news, least, now)
    return caught.value.code


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sets(st.sampled_from(["a@1", "a@2", "b@1"]))), min_size=1, max_size=8))
def test_under_the_same_keys_neither_serial_nor_revocations_ever_shrink(steps: list[tuple[int, set[str]]]) -> None:
    record: Record | None = None
    serial, revoked = 0, set[str]()
    for number, names in steps:
        news = seen(number, *sorted(names))
        if number < serial:
            assert code(record, news) == "upstream.rollback"
            continue
        record = take_in(record, news, 0, NOW)
        serial, revoked = number, revoked | names
        assert (record.rollout.serial, set(record.revoked)) == (serial, revoked)


def test_the_first_contact_has_the_files_own_least_serial() -> None:
    assert code(None, seen(4), least=5) == "upstream.rollback"
    assert take_in(None, seen(5), 5, NOW).rollout.serial == 5


def test_a_number_that_a_thief_of_the_online_key_raised_goes_with_the_key() -> None:
    stolen = take_in(None, seen(2**52, "a@1"), 0, NOW)
    assert code(stolen, seen(6)) == "upstream.rollback"
    recovered = take_in(stolen, seen(6, keys=OTHERS), 0, NOW)
    assert (recovered.rollout.serial, dict(recovered.revoked)) == (6, {})


def test_time_that_was_proven_does_not_go_back_with_the_clock() -> None:
    record = take_in(None, seen(1, fresh=NOW + timedelta(days=30)), 0, NOW + timedelta(days=30))
    early = NOW - timedelta(days=400)
    assert code(record, seen(2, fresh=NOW), now=early) == "upstream.expired"
    later = take_in(record, seen(2, fresh=NOW + timedelta(days=31)), 0, early)
    assert later.verified >= later.time_floor > NOW
    spoiled = replace(seen(3, fresh=NOW + timedelta(days=40)), expires={"targets": NOW})
    assert code(later, spoiled) == "upstream.expired"
