"""How many bytes a head may have, and which candidates keep to it. The trunk, which all diseases share, is not counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coordinator.errors import CoordinatorError
from coordinator.training.selection import TapSet

USUAL_BUDGET_KB = 150  # two minutes on a 9.6 kbit/s line (docs/adr/0025)
_OVERHEAD_BYTES = 1_400  # of a linear head's file
_OVERHEAD_TAP_BYTES = 400


@dataclass(frozen=True)
class Encoding:
    """How a head's weights are stored."""

    name: str
    bytes_per_weight: int


ENCODINGS = (Encoding("int8", 1), Encoding("float16", 2))  # the first that answers like the float head is taken


def linear_bytes(
    taps: Sequence[str], channels: Mapping[str, int], labels: int, encoding: Encoding = ENCODINGS[0]
) -> int:
    """About the size of a linear head's file."""
    weights = sum(channels[t] for t in taps) * labels
    return weights * encoding.bytes_per_weight + _OVERHEAD_BYTES + _OVERHEAD_TAP_BYTES * len(taps)


def within(
    budget_kb: int | None, tap_sets: Sequence[TapSet], channels: Mapping[str, int], labels: int
) -> tuple[tuple[TapSet, ...], int]:
    """The tap sets whose int8 head keeps to the budget, and the budget in bytes.

    Without a budget of the user's it is ``USUAL_BUDGET_KB``; data with so many classes that no head keeps to that gets the
    smallest.

    Raises:
        CoordinatorError: ``train.over_budget``.
    """
    sizes = {s: linear_bytes(s.taps, channels, labels) for s in tap_sets}
    least = min(sizes.values())
    budget = budget_kb * 1000 if budget_kb else max(USUAL_BUDGET_KB * 1000, least)
    fitting = tuple(s for s in tap_sets if sizes[s] <= budget)
    if not fitting:
        raise CoordinatorError("train.over_budget", budget=budget // 1000, least=-(-least // 1000))
    return fitting, budget
