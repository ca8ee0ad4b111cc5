"""Workers for strangers' files: what kills one costs that file alone."""

from __future__ import annotations

import sys

import pytest

from coordinator.engine.guarded import GuardedWorkers
from coordinator.engine.local import LocalEngine
from tests.support.dying import behave, lost


def run(items: list[str], workers: int = 2, timeout_s: float = 30) -> list[str]:
    return list(GuardedWorkers(workers, 300_000_000, timeout_s).map(behave, items, lost))


def test_answers_come_in_order_and_the_dead_cost_one_item_each() -> None:
    items = ["a", "die", "b", "abort", "c", "d", "die", "e"]
    assert run(items) == ["A", "lost die", "B", "lost abort", "C", "D", "lost die", "E"]
    assert run([]) == []


def test_one_that_hangs_is_given_up() -> None:
    assert run(["a", "hang", "b"], timeout_s=1.5) == ["A", "lost hang", "B"]


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA")
def test_memory_is_limited() -> None:
    assert run(["eat", "a"], workers=1) == ["no memory", "A"]


def test_an_exception_is_raised_here_and_leaving_early_ends_the_workers() -> None:
    with pytest.raises(KeyError):
        run(["a", "raise", "b"])
    results = LocalEngine(1).map_guarded(behave, ["a", "hang"], lost, 300_000_000)
    assert next(results) == "A"
    results.close()  # type: ignore[attr-defined]  # a generator; it does not wait for the sleeper
