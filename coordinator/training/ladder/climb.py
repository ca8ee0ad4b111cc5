"""Climbing: which rung is kept, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coordinator.training.ladder.comparison import LEAST_GROUPS, Difference, Standings, standings

Rule = Literal["first", "contains", "better", "robust"]
MOST_LOST = 0.01  # balanced accuracy on the images that robustness to other sites may cost

REASONS = {
    "first": ("where the ladder starts", "阶梯的起点"),
    "contains": (
        "level or better; its choice, made inside each training part, could have been the rung before",
        "持平或更好；其选择在各训练部分内部做出，前一方案也在候选之中",
    ),
    "better": (
        "better on unseen groups: the 95 % interval of the difference lies above 0",
        "在未见分组上更好：差值的 95% 区间高于 0",
    ),
    "lower_loss": (
        "balanced accuracy is no lower, and the log-loss is lower by more than its 95 % interval",
        "平衡准确率不低于前者，且对数损失的降低超出其 95% 区间",
    ),
    "robust": (
        "better on altered views of unseen groups, such as other sites' cameras take, at no more than one point on the images",
        "在未见分组的变化视图（如其他机构的成像）上更好，且在原图上的损失不超过一个百分点",
    ),
    "not_shown": (
        "not shown to be better: the 95 % interval of the difference holds 0",
        "未能证明更好：差值的 95% 区间包含 0",
    ),
    "worse": ("not better than the rung before", "不优于前一方案"),
    "costs": ("costs more than one point on the images themselves", "在原图上损失超过一个百分点"),
    "few_groups": (
        "too few groups hold a class to tell; the lighter one stays",
        "含某一类别的分组过少，无法判断；保留较轻的方案",
    ),
}


@dataclass(frozen=True)
class Rung:
    """One kind of head with its answers for images of groups that it had not seen.

    Attributes:
        name: how tables call it.
        rule: when it is kept: ``first``; ``contains``, where it could have chosen the rung before; ``better``; ``robust``.
        logits: float32 [repeats, images, labels].
        size_bytes: of its head file; the published ones are weighed, others are estimated.
        views: float32 [repeats, views, labels], answers for altered views of unseen groups; empty where not asked.
        raced: repeat and fold whose images decided that the rung be tried at all.
    """

    name: str
    rule: Rule
    logits: NDArray[np.float32]
    size_bytes: int
    views: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    raced: tuple[int, int] | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a rung: compared with ``against``, the one kept before it."""

    kept: bool
    why: str
    against: str | None = None
    difference: Difference | None = None
    on_views: Difference | None = None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        text, text_zh = REASONS[self.why]
        return {
            "kept": self.kept,
            "against": self.against,
            "difference": self.difference.document() if self.difference else None,
            "difference_on_views": self.on_views.document() if self.on_views else None,
            "why": {"code": self.why, "text": text, "text_zh": text_zh},
        }


def climb(
    rungs: Sequence[Rung],
    truth: NDArray[np.int64],
    groups: NDArray[Any],
    source: NDArray[np.int64],
    rows: NDArray[np.bool_] | None = None,
) -> tuple[int, list[Verdict]]:
    """Go up the rungs, judging on ``rows`` (default: all images); returns the index of the one that is kept, and verdicts.

    Args:
        rungs: from light to heavy; each is compared with the last one kept, over the repeats that both have.
        truth: [images].
        groups: [images].
        source: [views].
        rows: images whose answers count.
    """
    rows = np.ones(len(truth), dtype=bool) if rows is None else rows
    counts = {len(r.logits) for r in rungs}
    heads = {(i, k): r.logits[:k, rows] for i, r in enumerate(rungs) for k in counts if k <= len(r.logits)}
    on_images = standings(truth[rows], groups[rows], heads)
    seen = rows[source]
    kept, verdicts = 0, [Verdict(True, "first")]
    for i, rung in enumerate(rungs[1:], start=1):
        before, repeats = rungs[kept], min(len(rung.logits), len(rungs[kept].logits))
        found = on_images.difference((i, repeats), (kept, repeats))
        on_views = None
        if rung.rule == "robust" and seen.any():
            shown = {n: r.views[:, seen] for n, r in enumerate((before, rung))}
            on_views = standings(truth[source[seen]], groups[source[seen]], shown).difference(1, 0)
        keep, why = _judge(rung.rule, found, on_views, on_images)
        verdicts.append(Verdict(keep, why, before.name, found, on_views))
        if keep:
            kept = i
    return kept, verdicts


def _judge(rule: Rule, found: Difference, on_views: Difference | None, at: Standings) -> tuple[bool, str]:
    value, low, high = found.accuracy.value, found.accuracy.low, found.accuracy.high
    if rule == "contains":
        return (True, "contains") if value >= 0 else (False, "worse")
    if low is None or high is None or at.witnesses < LEAST_GROUPS:
        return False, "few_groups"
    if rule == "robust" and on_views is not None:
        return _robust(value, on_views)
    if low > 0:
        return True, "better"
    if value >= 0 and found.loss.high is not None and found.loss.high < 0:
        return True, "lower_loss"
    return False, "worse" if value <= 0 else "not_shown"


def _robust(value: float, on_views: Difference) -> tuple[bool, str]:
    if value < -MOST_LOST:
        return False, "costs"
    better = on_views.accuracy.low is not None and on_views.accuracy.low > 0
    calmer = on_views.accuracy.value >= 0 and on_views.loss.high is not None and on_views.loss.high < 0
    return (True, "robust") if better or calmer else (False, "not_shown")
