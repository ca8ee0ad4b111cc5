"""One backbone's way up the ladder: the answers of all rungs, and the fit of the one that is shipped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.training import export, selection
from coordinator.training.export import Exported
from coordinator.training.features import Extraction
from coordinator.training.ladder import budget, linear, spatial
from coordinator.training.ladder.climb import Rule, Rung
from coordinator.training.ladder.decision import Ladder
from coordinator.training.ladder.work import Work
from coordinator.training.modality import Modality
from coordinator.training.selection import Choice, Data, TapSet
from coordinator.training.trunks import ReadyTrunk

Effort = Literal["quick", "standard", "full"]
Progress = Callable[[str, int, int], None]
_RULES: dict[str, Rule] = {linear.BASE: "first", linear.TAPS: "contains", linear.FITS: "better", linear.VIEWS: "robust"}


@dataclass(frozen=True)
class Terms:
    """Within what the ladder is climbed."""

    effort: Effort
    budget_kb: int | None
    modality: Modality
    labels: int


@dataclass(frozen=True)
class Head:
    """A fitted and exported head; ``regularisation`` is that of a linear one."""

    exported: Exported
    regularisation: float | None
    with_views: bool


@dataclass(frozen=True)
class Ascent:
    """What one backbone came to.

    Attributes:
        tap_sets: those that keep to the budget.
        choices: of the linear rungs, made on all images.
        answers: of the linear rungs.
    """

    trunk: ReadyTrunk
    extraction: Extraction
    data: Data
    modality: Modality
    budget_bytes: int
    tap_sets: tuple[TapSet, ...]
    choices: linear.Chosen
    answers: linear.Answers
    ladder: Ladder
    work: Work

    def fit(self, name: str, labels: list[str], progress: Progress) -> Head:
        """Fit a rung on all images and export it."""
        choice = self.choices.rung(name)
        with_views = name == linear.VIEWS
        head = selection.fit(self.data, choice, views=with_views)
        exported = export.linear(head, choice.tap_set.taps, self.data.taps, labels)
        return Head(exported, choice.strength, with_views)

    def size(self, choice: Choice) -> int:
        """About the bytes of a linear head."""
        return _size(self.data, choice.tap_set, int(self.data.labels.max()) + 1)


def climb(
    trunk: ReadyTrunk,
    extraction: Extraction,
    data: Data,
    plans: list[NDArray[np.int64]],
    terms: Terms,
    work: Work,
    engine: Engine,
    part: Callable[[str], AbstractContextManager[Any]],
    progress: Progress,
) -> Ascent:
    """Compute the answers of every rung that the terms allow.

    Raises:
        CoordinatorError: ``train.over_budget``.
    """
    channels = {tap: values.shape[1] for tap, values in data.taps.items()}
    tap_sets, limit = budget.within(terms.budget_kb, selection.CANDIDATES[terms.effort], channels, terms.labels)
    with part("selection"):
        answers = linear.cross_validated(
            data, tap_sets, plans, work, engine, lambda done, total: progress("selection", done, total)
        )
        choices = linear.choose(data, np.ones(len(data.labels), dtype=bool), tap_sets)
    none = np.zeros((0, 0, 0), np.float32)
    rungs = [
        Rung(
            name,
            _RULES[name],
            logits,
            _size(data, choices.rung(name).tap_set, terms.labels),
            answers.views.get(name, none),
        )
        for name, logits in answers.rungs.items()
    ]
    ladder = Ladder(trunk.backbone.id, tuple(rungs))
    return Ascent(trunk, extraction, data, terms.modality, limit, tap_sets, choices, answers, ladder, work)


def epochs(effort: Effort, budget_kb: int | None, labels: int) -> int:
    """Epochs of spatial heads that an effort trains, over all folds and the last fit; for telling the time."""
    limit = (budget_kb or budget.USUAL_BUDGET_KB) * 1000
    fits = selection.OUTER_FOLDS * spatial.REPEATS[effort] + 1
    return sum(c.epochs * c.members * fits for c in spatial.within(effort, limit, labels))


def _size(data: Data, tap_set: TapSet, labels: int) -> int:
    return budget.linear_bytes(tap_set.taps, {t: v.shape[1] for t, v in data.taps.items()}, labels)
