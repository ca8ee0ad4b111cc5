"""One backbone's way up the ladder: the answers of all rungs, and the fit of the one that is shipped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.training import export, selection
from coordinator.training.export import Exported
from coordinator.training.features import Extraction
from coordinator.training.ladder import budget, distilled, joined, linear, spatial
from coordinator.training.ladder import climb as climbing
from coordinator.training.ladder.climb import Rule, Rung
from coordinator.training.ladder.decision import Ladder
from coordinator.training.ladder.distilled import School
from coordinator.training.ladder.joined import Scales
from coordinator.training.ladder.race import Race, compared
from coordinator.training.ladder.work import Work
from coordinator.training.modality import Modality
from coordinator.training.selection import Choice, Data, TapSet
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import Maps
from coordinator.training.spatial.training import SpatialFit
from coordinator.training.trunks import ReadyTrunk

Effort = Literal["quick", "standard", "full"]
Progress = Callable[[str, int, int], None]
_RULES: dict[str, Rule] = {linear.BASE: "first", linear.TAPS: "contains", linear.FITS: "better", linear.VIEWS: "robust"}


@dataclass(frozen=True)
class Terms:
    """Within what the ladder is climbed.

    Attributes:
        tap_sets: whose heads keep to the budget.
        configs: spatial heads that do; none without maps.
        budget_bytes: of a head.
        labels: how many there are.
    """

    effort: Effort
    tap_sets: tuple[TapSet, ...]
    configs: tuple[SpatialConfig, ...]
    budget_bytes: int
    modality: Modality
    labels: int

    @property
    def tried(self) -> tuple[SpatialConfig, ...]:
        """With the one that may be taught: the largest."""
        return (*self.configs, *(distilled.config(c) for c in self.configs[-1:]))

    @classmethod
    def of(
        cls,
        effort: Effort,
        budget_kb: int | None,
        modality: Modality,
        channels: dict[str, int],
        labels: int,
        images: int,
    ) -> Terms:
        """What an effort may try within a budget on so many images.

        Raises:
            CoordinatorError: ``train.over_budget``.
        """
        tap_sets, limit = budget.within(budget_kb, selection.CANDIDATES[effort], channels, labels)
        return cls(effort, tap_sets, spatial.within(effort, limit, labels, images), limit, modality, labels)


@dataclass(frozen=True)
class Head:
    """A fitted and exported head.

    Attributes:
        exported: its file.
        choice: that of a linear one.
        with_views: whether altered views were learned from.
        weights: file with the float weights of one that is spatial alone.
    """

    exported: Exported
    choice: Choice | None
    with_views: bool
    weights: bytes | None = None


@dataclass(frozen=True)
class Seen:
    """What a backbone makes of a data set; ``maps`` where spatial heads are tried, ``school`` where they may be taught."""

    trunk: ReadyTrunk
    extraction: Extraction
    data: Data
    maps: Maps | None
    school: School | None = None


@dataclass(frozen=True)
class Ascent:
    """What one backbone came to.

    Attributes:
        choices: of the linear rungs, made on all images.
        answers: of the linear rungs.
        scales: of the joined rungs, by name.
        race: what became of the network fine-tuned above ``mixed7``, where that was tried.
        hindrance: code of what kept it from being trained.
    """

    seen: Seen
    terms: Terms
    choices: linear.Chosen
    answers: linear.Answers
    ladder: Ladder
    scales: dict[str, Scales]
    work: Work
    race: Race | None = None
    hindrance: str | None = None

    @property
    def tap_sets(self) -> tuple[TapSet, ...]:
        """Those that were tried."""
        return self.terms.tap_sets

    def fit(self, name: str, labels: list[str], progress: Callable[[int, int], None]) -> Head:
        """Fit a rung on all images and export it."""
        data, maps, config = self.seen.data, self.seen.maps, self.config(name)
        partner = _partner(self.answers) if name in self.scales else name
        choice, with_views = self.choices.rung(partner), partner == linear.VIEWS
        if config is None:
            head = selection.fit(data, choice, views=with_views)
            return Head(export.linear(head, choice.tap_set.taps, data.taps, labels), choice, with_views)
        assert maps is not None
        fit = self._fit_spatial(config, maps, progress)
        if name not in self.scales:
            return Head(spatial.export(fit, maps, labels), None, config.views > 0, fit.folded.read_bytes())
        head = selection.fit(data, choice, views=with_views)
        exported = joined.export(head, choice.tap_set.taps, data.taps, fit, config, maps, self.scales[name], labels)
        return Head(exported, choice, with_views or config.views > 0)

    def _fit_spatial(self, config: SpatialConfig, maps: Maps, progress: Callable[[int, int], None]) -> SpatialFit:
        data, work, school = self.seen.data, self.work.below("spatial"), self.seen.school
        if not config.taught:
            return spatial.fit(maps, data, config, work, progress)
        assert school is not None
        return distilled.fit(school, maps, data, config, progress)

    def config(self, name: str) -> SpatialConfig | None:
        """The spatial head of a rung, or in it; None where it is linear."""
        alone = name.removesuffix(joined.SUFFIX)
        return next((c for c in self.terms.tried if spatial.name(c) == alone), None)

    def inputs(self, name: str) -> tuple[str, ...]:
        """The trunk's outputs that a rung reads."""
        config = self.config(name)
        if config is None:
            return self.choices.rung(name).tap_set.taps
        taps = self.choices.rung(_partner(self.answers)).tap_set.taps if name in self.scales else ()
        return (*taps, *config.inputs)

    def size(self, tap_set: TapSet) -> int:
        """About the bytes of a linear head."""
        return _size(self.seen.data, tap_set, self.terms.labels)


def climb(
    seen: Seen,
    plans: list[NDArray[np.int64]],
    terms: Terms,
    work: Work,
    engine: Engine,
    part: Callable[[str], AbstractContextManager[Any]],
    progress: Progress,
) -> Ascent:
    """Compute the answers of every rung that the terms allow; the maps decide whether there are spatial ones."""
    data = seen.data
    with part("selection"):
        answers = linear.cross_validated(
            data, terms.tap_sets, plans, work, engine, lambda done, total: progress("selection", done, total)
        )
        choices = linear.choose(data, np.ones(len(data.labels), dtype=bool), terms.tap_sets)
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
    rising = _Rising(seen, terms, plans, rungs)
    if seen.maps is not None:
        with part("spatial"):
            for number, config in enumerate(terms.configs):

                def told(done: int, total: int, number: int = number) -> None:
                    progress("spatial", 100 * number + 100 * done // max(total, 1), 100 * len(terms.configs))

                logits = spatial.answers(
                    seen.maps, data, plans[: spatial.REPEATS[terms.effort]], config, work.below("spatial"), told
                )
                rising.add(config, logits)
        if seen.school is not None and terms.configs:
            rising.finish(seen.school, seen.maps, part, progress)
    ladder = Ladder(seen.trunk.backbone.id, tuple(rising.rungs))
    return Ascent(seen, terms, choices, answers, ladder, rising.scales, work, rising.race, rising.hindrance)


class _Rising:
    """The rungs above the linear ones."""

    def __init__(self, seen: Seen, terms: Terms, plans: list[NDArray[np.int64]], rungs: list[Rung]) -> None:
        self.rungs = rungs
        self.scales: dict[str, Scales] = {}
        self.race: Race | None = None
        self.hindrance: str | None = None
        self._data, self._terms, self._plans, self._partner = seen.data, terms, plans, rungs[-1]

    def add(self, config: SpatialConfig, logits: NDArray[np.float32], raced: tuple[int, int] | None = None) -> None:
        """A spatial head, and where the budget holds both, the same with the last linear one."""
        name, size, partner = spatial.name(config), config.estimated_bytes(self._terms.labels), self._partner
        self.rungs.append(Rung(name, "better", logits, size, raced=raced))
        if size + partner.size_bytes <= self._terms.budget_bytes:
            self.scales[name + joined.SUFFIX] = at = Scales.of(self._data.labels, partner.logits, logits)
            both = at.add(partner.logits, logits)
            size += partner.size_bytes
            self.rungs.append(Rung(name + joined.SUFFIX, "better", both, size, raced=raced))

    def finish(
        self, school: School, maps: Maps, part: Callable[[str], AbstractContextManager[Any]], progress: Progress
    ) -> None:
        """Fine-tune for one fold, and where that wins for all, to teach the largest spatial head."""
        data, plan = self._data, self._plans[0]
        kept, _ = climbing.climb(self.rungs, data.labels, data.groups, data.source)
        try:
            with part("teacher"):
                self.race, first = distilled.run(
                    school, maps, data, plan, self.rungs[kept], lambda done, total: progress("teacher", done, total)
                )
            if not self.race.won:
                return
            config = self._terms.tried[-1]
            with part("distilled"):
                logits, teachers = distilled.answers(
                    school, maps, data, plan, first, config, lambda done, total: progress("distilled", done, total)
                )
        except CoordinatorError as error:
            if not distilled.hindered(error):
                raise
            self.race, self.hindrance = None, error.code
            return
        self.race = compared(data.labels, data.groups, teachers, self.rungs[kept], np.ones(len(plan), bool), won=True)
        self.add(config, logits, distilled.raced_on(plan))


def _partner(answers: linear.Answers) -> str:
    """The linear rung that spatial heads are joined with: the last."""
    return list(answers.rungs)[-1]


def _size(data: Data, tap_set: TapSet, labels: int) -> int:
    return budget.linear_bytes(tap_set.taps, {t: v.shape[1] for t, v in data.taps.items()}, labels)
