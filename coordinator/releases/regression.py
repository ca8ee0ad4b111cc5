"""Whether a version is worse than the release that nodes use now, on images that neither had seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.releases.gates import ACCEPT, ACCEPT_ZH, Gate, allowed, allowed_zh
from coordinator.releases.proportions import newcombe
from coordinator.reports.document import Words
from coordinator.training import metrics
from coordinator.training.oof import OutOfFold

_NAME = "non_regression"
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """Balanced accuracy of a candidate and of the current release.

    Attributes:
        candidate, current: 0 to 1.
        low, high: 95 % interval of candidate less current; None: there is none.
        on: what they were compared on, for people.
    """

    candidate: float
    current: float
    low: float | None
    high: float | None
    on: Words

    @property
    def is_worse(self) -> bool:
        """Whether the loss is more than chance; without an interval, whether there is one."""
        return self.candidate < self.current if self.high is None else self.high < 0


def paired(
    candidate: OutOfFold, labels: Sequence[str], current: OutOfFold, current_labels: Sequence[str]
) -> Comparison | None:
    """Compare out-of-fold answers about the images that both were trained on; whole groups are resampled together.

    The truth is the candidate's: labels may have been put right since. Images of a class that only one of them knows
    are left out. None where fewer than two groups are in common.

    Args:
        candidate, current: answers.
        labels, current_labels: of each, in the order of its logits.
    """
    names = sorted({*labels, *current_labels})
    place = {image: i for i, image in enumerate(current.images)}
    known = np.array([name in current_labels for name in labels])
    rows = [i for i, image in enumerate(candidate.images) if image in place and known[candidate.truth[i]]]
    groups = candidate.groups[rows]
    if len(np.unique(groups)) < 2:
        return None
    ours, theirs = (np.array([names.index(name) for name in own]) for own in (labels, current_labels))
    others = [place[candidate.images[i]] for i in rows]
    truth = ours[candidate.truth[rows]]
    found = metrics.balanced_accuracy_difference(
        truth,
        ours[candidate.logits[:, rows].argmax(axis=2)],
        theirs[current.logits[:, others].argmax(axis=2)],
        groups,
        len(names),
    )
    count = len(np.unique(groups))
    on = Words(
        f"{len(rows)} images of {count} groups that neither had seen in training",
        f"两者训练时均未见过的 {count} 组 {len(rows)} 张图像",
    )
    return Comparison(found.candidate, found.current, found.difference.low, found.difference.high, on)


def stated(training: dict[str, Any], current: str) -> Comparison | None:
    """What recalibration or federation has measured against the version that it began with, where that is ``current``."""
    recalibrated = training.get("recalibrated")
    if recalibrated is not None:
        if recalibrated.get("from") != current:
            return None
        after, before = (float(recalibrated[k]["balanced_accuracy"]) for k in ("after", "before"))
        groups = int(recalibrated["groups"])
        low, high = newcombe(after * groups, groups, before * groups, groups, _CONFIDENCE)
        images = recalibrated["images"]
        on = Words(f"{images} images of {groups} groups of the site", f"该机构 {groups} 组 {images} 张图像")
        return Comparison(after, before, low, high, on)
    federated = training.get("federated")
    if federated is not None and federated.get("from") == current and "global" in federated:
        after, before = federated["global"].get("mean"), federated.get("start_mean")
        if after is not None and before is not None:
            sites = federated["global"].get("sites") or 0
            on = Words(f"what {sites} sites held out", f"{sites} 个机构的留出图像")
            return Comparison(after, before, None, None, on)
    return None


def gate(current: str | None, found: Comparison | None, reason: str | None) -> Gate:
    """The gate.

    Args:
        current: the release that nodes use; None: there is none yet.
        found: how the candidate compares with it; None: nothing can be compared.
        reason: why it is released all the same.
    """
    if current is None:
        return Gate(
            _NAME,
            True,
            "no release of this model is with all nodes, so there is none to compare with",
            "此模型尚无推送到全部节点的版本，无可比较",
        )
    if found is None:
        shown = f"it cannot be compared with {current}: no out-of-fold answers about the same groups"
        shown_zh = f"无法与 {current} 比较：没有关于相同组的折外答案"
        is_ok = False
    else:
        bounds = "" if found.low is None or found.high is None else f" (95 %: {found.low:+.3f} … {found.high:+.3f})"
        shown = (
            f"balanced accuracy {found.candidate:.3f}, {current} {found.current:.3f} on {found.on.en}, "
            f"difference {found.candidate - found.current:+.3f}{bounds}"
        )
        shown_zh = (
            f"平衡准确率 {found.candidate:.3f}，{current} 为 {found.current:.3f}（{found.on.zh}），"
            f"差值 {found.candidate - found.current:+.3f}{bounds}"
        )
        is_ok = not found.is_worse
    if is_ok:
        return Gate(_NAME, True, shown, shown_zh)
    if reason:
        return Gate(_NAME, True, f"{shown}; {allowed(reason)}", f"{shown_zh}；{allowed_zh(reason)}")
    return Gate(_NAME, False, f"{shown}; {ACCEPT}", f"{shown_zh}；{ACCEPT_ZH}")
