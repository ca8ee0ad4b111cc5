"""What the training document says about the ladder: rungs, frontier and backbones, for people, cards and scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.training.figures import interval
from coordinator.training.ladder import frontier
from coordinator.training.ladder.ascent import Ascent, Head
from coordinator.training.ladder.climb import Rung
from coordinator.training.ladder.decision import Decision, HeldOut, Ladder, Subject
from coordinator.training.ladder.frontier import Point


@dataclass(frozen=True)
class Outcome:
    """What the ladder came to.

    Attributes:
        ladders: that were climbed, one for each backbone.
        head: the one that is shipped.
    """

    ladders: tuple[Ladder, ...]
    decision: Decision
    held_out: HeldOut
    head: Head

    @property
    def rung(self) -> str:
        """Name of the shipped head's rung."""
        ladder, rung = self.decision.chosen
        return self.ladders[ladder].rungs[rung].name


def report(climbed: Sequence[Ascent], subject: Subject, outcome: Outcome) -> dict[str, Any]:
    """What the ladder adds to the training document."""
    names = [outcome.ladders[a].rungs[r].name for a, r in outcome.held_out.chosen]
    return {
        "rung": outcome.rung,
        **_fit(outcome.head),
        "rungs": _rungs(climbed, subject, outcome),
        "frontier": frontier.document(_points(climbed[outcome.decision.ladder], subject, outcome)),
        "backbones": _backbones(subject, outcome),
        "chosen_in_folds": dict(Counter(names)),
    }


def _fit(head: Head) -> dict[str, Any]:
    """How a linear head was fitted; ``regularisation`` is scikit-learn's C, which federated refinement starts from."""
    choice = head.choice
    return {
        "fit_method": choice and choice.method,
        "fit_strength": choice and choice.strength,
        "taps_count_alike": choice and choice.level,
        "regularisation": choice.strength if choice and choice.method == "logistic" else None,
    }


def _rungs(climbed: Sequence[Ascent], subject: Subject, outcome: Outcome) -> list[dict[str, Any]]:
    rows = []
    chosen = outcome.decision.chosen
    for a, ladder in enumerate(outcome.ladders):
        for r, (rung, verdict) in enumerate(zip(ladder.rungs, outcome.decision.verdicts[a], strict=True)):
            size = len(outcome.head.exported.data) if (a, r) == chosen else rung.size_bytes
            rows.append(
                {
                    "name": rung.name,
                    "backbone": ladder.backbone,
                    "inputs": list(climbed[a].inputs(rung.name)),
                    **_figures(rung, subject),
                    "bytes": size,
                    "chosen": (a, r) == chosen,
                    **verdict.document(),
                }
            )
        if race := climbed[a].race:
            last = next((n for n, rung in enumerate(ladder.rungs) if rung.raced), len(ladder.rungs))
            row = {**race.document(), "backbone": ladder.backbone, "inputs": ["mixed7_map"]}
            rows.insert(len(rows) - len(ladder.rungs) + last, row)
    return rows


def _figures(rung: Rung, subject: Subject) -> dict[str, float | None]:
    found = interval(subject.truth, subject.groups, rung.logits).document()
    return {"balanced_accuracy": found["value"], "low": found["low"], "high": found["high"]}


def _points(ascent: Ascent, subject: Subject, outcome: Outcome) -> list[Point]:
    """Every size of head that was tried: the rungs, and each set of taps with the fit that suits it."""
    a, r = outcome.decision.chosen
    ladder, points = outcome.ladders[a], []
    for number, rung in enumerate(ladder.rungs):
        found = interval(subject.truth, subject.groups, rung.logits)
        size = len(outcome.head.exported.data) if number == r else rung.size_bytes
        points.append(Point(rung.name, size, found.value, found.low, found.high, number == r))
    for tap_set in ascent.tap_sets:
        logits = ascent.answers.taps[tap_set.name]
        if not any(np.array_equal(logits, rung.logits) for rung in ladder.rungs):  # it is what a rung chose everywhere
            found = interval(subject.truth, subject.groups, logits)
            points.append(Point(tap_set.name, ascent.size(tap_set), found.value, found.low, found.high))
    return points


def _backbones(subject: Subject, outcome: Outcome) -> list[dict[str, Any]]:
    """Each backbone by what its ladder ended at, compared on the same images in the same folds."""
    rows = []
    decision = outcome.decision
    for a, (ladder, verdict) in enumerate(zip(outcome.ladders, decision.between, strict=True)):
        rung = ladder.rungs[decision.rungs[a]]
        rows.append(
            {
                "backbone": ladder.backbone,
                "rung": rung.name,
                **_figures(rung, subject),
                "chosen": a == decision.ladder,
                **verdict.document(),
            }
        )
    return rows
