"""Several ladders, one for each backbone: which head of which backbone is shipped, and an honest figure for that choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training.ladder.climb import Rung, Verdict, climb
from coordinator.training.ladder.comparison import temperature


@dataclass(frozen=True)
class Ladder:
    """The rungs of one backbone, from light to heavy, with their answers for the same images in the same folds."""

    backbone: str
    rungs: tuple[Rung, ...]

    def without(self, name: str) -> Ladder:
        """The ladder less one rung."""
        return replace(self, rungs=tuple(r for r in self.rungs if r.name != name))

    def untold_by(self, repeat: int, fold: int) -> Ladder:
        """The ladder as it would be for all one knows without a fold: less the last rungs, if that fold called for them."""
        return replace(self, rungs=tuple(r for r in self.rungs if r.raced != (repeat, fold)))


@dataclass(frozen=True)
class Subject:
    """What is recognised, in which folds.

    Attributes:
        truth: int64 [images].
        groups: [images].
        source: int64 [views], the image that each altered view is of.
        plans: for each repeat the fold of each image.
    """

    truth: NDArray[np.int64]
    groups: NDArray[Any]
    source: NDArray[np.int64]
    plans: Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Decision:
    """What the answers of some images say.

    Attributes:
        ladder: index of the backbone.
        rungs: for each ladder the index of the rung that is kept.
        verdicts: for each ladder those of its rungs.
        between: verdicts on the backbones; the first one named is where they start.
    """

    ladder: int
    rungs: tuple[int, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]
    between: tuple[Verdict, ...]

    @property
    def chosen(self) -> tuple[int, int]:
        """Indices of ladder and rung."""
        return self.ladder, self.rungs[self.ladder]


def decide(ladders: Sequence[Ladder], subject: Subject, rows: NDArray[np.bool_] | None = None) -> Decision:
    """Climb each ladder and compare what they end at, judging on ``rows`` (default: all images)."""
    kept, verdicts = [], []
    for ladder in ladders:
        index, found = climb(ladder.rungs, subject.truth, subject.groups, subject.source, rows)
        kept.append(index)
        verdicts.append(tuple(found))
    ends = [replace(x.rungs[i], name=x.backbone, rule="better") for x, i in zip(ladders, kept, strict=True)]
    best, between = climb(ends, subject.truth, subject.groups, subject.source, rows)
    return Decision(best, tuple(kept), tuple(verdicts), tuple(between))


@dataclass(frozen=True)
class HeldOut:
    """Answers of the whole procedure, all its choices included, for images that neither fits nor choices have seen.

    Attributes:
        logits: float32 [repeats, images, labels].
        chosen: for each fold the indices of ladder and rung.
    """

    logits: NDArray[np.float32]
    chosen: list[tuple[int, int]]


def held_out(ladders: Sequence[Ladder], subject: Subject, shipped: tuple[int, int]) -> HeldOut:
    """For each fold, the answers of the head that the images of all other folds choose: choice and figure share no image.

    A rung that was tried because of a fold's images (``Rung.raced``) is not among what is chosen from for that fold.

    Repeats are as many as the least thorough of the heads that came to be chosen has. Where folds choose differently, answers
    are brought to the scale of the head that is shipped, so that one calibration fits all.
    """
    chosen = {
        (repeat, int(fold)): decide([x.untold_by(repeat, int(fold)) for x in ladders], subject, plan != fold).chosen
        for repeat, plan in enumerate(subject.plans)
        for fold in np.unique(plan)
    }
    answers = {at: ladders[at[0]].rungs[at[1]].logits for at in {*chosen.values(), shipped}}
    repeats = min(len(found) for found in answers.values())
    heat = {at: temperature(subject.truth, found) for at, found in answers.items()}
    logits = np.zeros((repeats, *answers[shipped].shape[1:]), np.float32)
    for (repeat, fold), at in chosen.items():
        if repeat < repeats:
            test = subject.plans[repeat] == fold
            logits[repeat, test] = answers[at][repeat, test] * np.float32(heat[shipped] / heat[at])
    return HeldOut(logits, [at for (repeat, _), at in chosen.items() if repeat < repeats])
