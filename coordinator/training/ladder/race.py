"""The race before the dearest rung: whether fine-tuning is worth its hour, told from one fold. Pure.

A teacher for one fold costs a fifth of all of them. Only where it is better than the rung that is kept so far, on images that
neither has seen, do the other folds get theirs and a spatial head is taught by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training.figures import interval
from coordinator.training.ladder.climb import Rung
from coordinator.training.ladder.comparison import Difference, standings
from coordinator.training.metrics import Interval

NAME = "network fine-tuned above mixed7"
SIZE_BYTES = 13_000_000  # about, as int8; never released

REASONS = {
    "not_pursued": (
        "on the first fold's unseen images, of which these figures are, not better than {against}; not pursued",
        "该行指标来自第一折的未见图像，在其上不优于 {against}；不再继续",
    ),
    "teaches": (
        "too large to be released; better than {against} on the first fold, so it teaches a spatial head",
        "体积过大，不予发布；在第一折上优于 {against}，因此用于指导空间头部模型",
    ),
}


@dataclass(frozen=True)
class Race:
    """What became of the teacher.

    Attributes:
        won: whether spatial heads are taught by it.
        against: the rung that it had to beat.
        figure: its balanced accuracy: of all folds where it has won, else of the first.
        difference: to that rung, on the same images.
    """

    won: bool
    against: str
    figure: Interval
    difference: Difference

    def document(self) -> dict[str, Any]:
        """Its row in the ladder's table."""
        code = "teaches" if self.won else "not_pursued"
        figure = self.figure.document()
        return {
            "name": NAME,
            "balanced_accuracy": figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            "bytes": SIZE_BYTES,
            "chosen": False,
            "kept": False,
            "against": self.against,
            "difference": self.difference.document(),
            "difference_on_views": None,
            "why": dict(zip(("code", "text", "text_zh"), (code, *_said(code, self.against)), strict=True)),
        }


def better(found: Difference) -> bool:
    """Whether a race is won: balanced accuracy no lower, and a lower class-balanced log-loss.

    One fold has too few images for an interval to say more. Accuracy alone would be won by chance every other time; the loss
    alone by a network that is only surer of itself where it was right before.
    """
    return found.accuracy.value >= 0 and found.loss.value < 0


def compared(
    truth: NDArray[np.int64],
    groups: NDArray[Any],
    teacher: NDArray[np.float32],
    kept: Rung,
    rows: NDArray[np.bool_],
    won: bool | None = None,
) -> Race:
    """The race on ``rows``, images that the teacher had not seen.

    Args:
        truth: int64 [images].
        groups: [images].
        teacher: logits [images, labels].
        kept: the rung that is kept so far; its first repeat has the same folds.
        rows: bool [images].
        won: what an earlier race came to; None: decide now.
    """
    heads = {"teacher": teacher[np.newaxis, rows], "kept": kept.logits[:1, rows]}
    found = standings(truth[rows], groups[rows], heads).difference("teacher", "kept")
    figure = interval(truth[rows], groups[rows], heads["teacher"])
    return Race(better(found) if won is None else won, kept.name, figure, found)


def _said(code: str, against: str) -> tuple[str, str]:
    en, zh = REASONS[code]
    return en.format(against=against), zh.format(against=against)
