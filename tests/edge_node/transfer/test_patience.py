from __future__ import annotations

import pytest

from edge_node.errors import SourceError, UnreachableError
from edge_node.transfer.patience import patiently, pauses_s


class Line:
    """Down for the first attempts, and a clock that only pauses move."""

    def __init__(self, down: int, failure: type[SourceError] = UnreachableError) -> None:
        self.down = down
        self.failure = failure
        self.attempts = 0
        self.slept: list[float] = []
        self.told: list[tuple[str, float]] = []

    async def attempt(self) -> str:
        self.attempts += 1
        if self.attempts <= self.down:
            raise self.failure("edge.coordinator_unreachable", url="https://clinic")
        return "list"

    async def sleep(self, pause_s: float) -> None:
        self.slept.append(pause_s)

    def waiting(self, error: UnreachableError, pause_s: float) -> None:
        self.told.append((error.code, pause_s))


def test_pauses_double_up_to_four_seconds_and_add_up_to_what_was_allowed() -> None:
    assert list(pauses_s(10.0)) == [0.5, 1.0, 2.0, 4.0, 2.5]
    assert list(pauses_s(0.0)) == []
    assert sum(pauses_s(600.0)) == 600.0
    assert max(pauses_s(600.0)) == 4.0


async def test_a_line_that_comes_back_costs_the_pauses_and_nothing_else() -> None:
    line = Line(down=3)
    assert await patiently(line.attempt, 10.0, line.sleep, line.waiting) == "list"
    assert line.slept == [0.5, 1.0, 2.0]
    assert line.told == [("edge.coordinator_unreachable", pause_s) for pause_s in line.slept]


async def test_a_line_that_stays_away_is_given_up_with_its_own_failure() -> None:
    line = Line(down=99)
    with pytest.raises(UnreachableError) as caught:
        await patiently(line.attempt, 10.0, line.sleep)
    assert (line.attempts, sum(line.slept)) == (6, 10.0)
    assert caught.value.kind.exit_code == 6


async def test_what_another_try_would_not_mend_is_final() -> None:
    line = Line(down=99, failure=SourceError)
    with pytest.raises(SourceError):
        await patiently(line.attempt, 10.0, line.sleep)
    assert (line.attempts, line.slept) == (1, [])
