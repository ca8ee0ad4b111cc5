"""Training curves as a job's row keeps them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from coordinator.jobs.curves import MOST_EPOCHS, MOST_RUNS, Curves, newest, with_point


def point(epoch: int, loss: float, validation: float | None = None, run: str = "a/0") -> dict[str, Any]:
    return {"run": run, "name": "mixed4", "epoch": epoch, "loss": loss, "validation": validation}


def kept(*points: dict[str, Any]) -> Curves:
    curves: Curves = []
    for one in points:
        curves = with_point(curves, one)
    return curves


def test_epochs_of_each_run_are_kept_in_order() -> None:
    found = kept(point(1, 0.9, 1.0), point(2, 0.5, 0.8), point(1, 0.7, run="a/1"), point(3, 0.123456, 0.7))
    assert [(c["run"], c["loss"], c["validation"]) for c in found] == [
        ("a/0", [0.9, 0.5, 0.12346], [1.0, 0.8, 0.7]),
        ("a/1", [0.7], [None]),
    ]
    assert [(n["number"], n["epochs"], n["loss"]) for n in newest(found)] == [(1, 3, 0.12346), (2, 1, 0.7)]


def test_a_training_that_goes_on_after_a_kill_draws_over_what_is_told_again() -> None:
    assert kept(point(1, 0.9), point(2, 0.5), point(3, 0.4), point(2, 0.45))[0]["loss"] == [0.9, 0.45]
    assert kept(point(1, 0.9), point(4, 0.4))[0]["loss"] == [0.9, None, None, 0.4]


def test_what_is_no_number_is_a_gap() -> None:
    found = kept(point(1, math.nan, math.inf), point(2, 0.5))
    assert (found[0]["loss"], found[0]["validation"]) == ([None, 0.5], [None, None])


@pytest.mark.parametrize(
    "nonsense", [{}, {"run": 1}, point(0, 0.1), point(MOST_EPOCHS + 1, 0.1), {**point(1, 0.1), "loss": "x"}]
)
def test_nonsense_is_refused(nonsense: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        with_point([], nonsense)


def test_runs_without_end_are_refused() -> None:
    with pytest.raises(ValueError):
        kept(*(point(1, 0.1, run=str(n)) for n in range(MOST_RUNS + 1)))
