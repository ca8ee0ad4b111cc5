"""What a training says about its result: figures for manifest and card, and where they say less than they seem to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.intake.cleaning import FEW_IMAGES
from coordinator.training import metrics
from coordinator.training.evaluation import FEW_GROUPS
from protocols.manifest import Calibration
from protocols.recognition import scores


def interval(truth: NDArray[np.int64], groups: NDArray[np.str_], logits: NDArray[np.float32]) -> metrics.Interval:
    """Balanced accuracy of [repeats, images, labels]: means over the repeats; bounds are resampled by group."""
    found = [
        metrics.balanced_accuracy_interval(truth, run.argmax(axis=1), groups, logits.shape[2]).document()
        for run in logits
    ]

    def mean(name: str) -> float | None:
        values = [f[name] for f in found]
        return None if any(v is None for v in values) else float(np.mean([v for v in values if v is not None]))

    value = mean("value")
    assert value is not None
    return metrics.Interval(value, mean("low"), mean("high"))


def figures(
    truth: NDArray[np.int64],
    groups: NDArray[np.str_],
    logits: NDArray[np.float32],
    calibration: Calibration,
    names: list[str],
) -> dict[str, Any]:
    """Nested cross-validated figures for manifest and card, of logits [repeats, images, labels]."""
    probabilities = [scores(run, calibration) for run in logits]
    aucs = [metrics.auc_macro(truth, p) for p in probabilities]
    errors = [metrics.expected_calibration_error(truth, p) for p in probabilities]
    tables = [metrics.confusion(truth, run.argmax(axis=1), len(names)) for run in logits]
    per_class = metrics.per_class(np.sum(tables, axis=0), names)
    for row in per_class.values():
        row["n"] = int(row["n"] or 0) // len(tables)  # each repeat counts every image once
    return {
        "method": f"nested cross-validation by group, {len(logits)} repeat(s)",
        "n": len(truth),
        "groups": len(set(groups.tolist())),
        "balanced_accuracy": interval(truth, groups, logits).document(),
        "auc_macro": round(float(np.mean([a for a in aucs if a is not None])), 4),
        "ece": round(float(np.mean(errors)), 4),
        "per_class": per_class,
    }


def warnings(
    truth: NDArray[np.int64],
    groups: NDArray[np.str_],
    names: Sequence[str],
    no_maps: bool,
    no_teacher: str | None = None,
) -> list[dict[str, str]]:
    """Classes with so few images or groups that the figures are rough; rungs that were left out, and what hindered them.

    Args:
        truth: int64 [images].
        groups: [images].
        names: of the classes.
        no_maps: whether there was no room for maps.
        no_teacher: code of what kept the network above ``mixed7`` from being fine-tuned.
    """
    found = []
    if no_maps:
        found.append(
            {
                "code": "train.no_maps",
                "text": "Maps of all images do not fit into maps_mb or onto the disk: spatial heads were left out.",
                "text_zh": "全部图像的特征图超出 maps_mb 或磁盘空间：未尝试空间头部模型。",
            }
        )
    if no_teacher:
        found.append(
            {
                "code": "train.no_teacher",
                "text": f"The network could not be fine-tuned ({no_teacher}): the last rung of the ladder was left out.",
                "text_zh": f"主干网络无法微调（{no_teacher}）：未尝试阶梯的最后一个方案。",
            }
        )
    few = [n for i, n in enumerate(names) if (truth == i).sum() < FEW_IMAGES]
    if few:
        found.append(
            {
                "code": "train.few_images",
                "text": f"Fewer than {FEW_IMAGES} images of {', '.join(few)}: expect less on new patients than the figures say.",
                "text_zh": f"{'、'.join(few)} 的图像不足 {FEW_IMAGES} 张：对新患者的表现可能低于所示指标。",
            }
        )
    scarce = [n for i, n in enumerate(names) if len(set(groups[truth == i].tolist())) < FEW_GROUPS]
    if scarce:
        found.append(
            {
                "code": "train.few_groups",
                "text": f"Fewer than {FEW_GROUPS} groups hold {', '.join(scarce)}: intervals are rough, and only a great "
                "difference can move the ladder to a heavier head.",
                "text_zh": f"含 {'、'.join(scarce)} 的分组不足 {FEW_GROUPS} 个：区间粗略，只有差异很大时才会采用更大的头部模型。",
            }
        )
    return found
