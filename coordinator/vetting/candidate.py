"""The manifest of a brought model, which claims no more than is known. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.vetting.description import Description
from protocols.artifacts import Artifact
from protocols.imaging import InputSpec
from protocols.manifest import Calibration, Golden, QualityLimits, ReleaseManifest, Stage
from protocols.recognition import scores

LEAST_NODE_VERSION = "0.1.0"
ROLE = "model"
_SAME_SUM = 1e-3  # logits that sum to 1 for every picture are a softmax already
_SUM_TOLERANCE = 0.02  # of a softmax that was rounded to 1/256 steps


def uncalibrated(labels: int) -> Calibration:
    """Without images of known labels only the set of all labels has a coverage that can be stated: it is never wrong.

    So every answer is ``unsure`` until ``recalibrate`` has seen labelled images.
    """
    return Calibration(temperature=1.0, coverage=1.0, thresholds=(1.0,) * labels, bias=(0.0,) * labels)


def check_output(logits: NDArray[np.float64], wanted: Description) -> None:
    """Refuse a model whose answers are not what the labels file calls them.

    Args:
        logits: [pictures, labels], as the standardised stage gives them.
        wanted: the labels file.

    Raises:
        CoordinatorError: ``vetting.output_kind``.
    """
    if wanted.output == "logits":
        if logits.min() >= 0 and np.abs(logits.sum(axis=1) - 1).max() < _SAME_SUM:
            raise CoordinatorError("vetting.output_kind", stated="logits", found="Σ 1, softmax")
        return
    given = np.exp(logits)
    if given.max() > 1 + _SUM_TOLERANCE:
        raise CoordinatorError("vetting.output_kind", stated=wanted.output, found=f"{given.max():.3f}")
    sums = given.sum(axis=1)
    worst = float(sums[np.abs(sums - 1).argmax()])
    if wanted.output == "softmax" and abs(worst - 1) > _SUM_TOLERANCE:
        raise CoordinatorError("vetting.output_kind", stated=wanted.output, found=f"Σ {worst:.3f}")


def manifest(
    wanted: Description,
    version: int,
    stage: Artifact,
    golden: Artifact,
    logits: NDArray[np.float64],
    brought: dict[str, Any],
    now: datetime,
) -> ReleaseManifest:
    """The candidate: one stage, no calibration, no limits, no novelty statistics.

    Args:
        brought: by whom, from where, under which licence; becomes ``data.brought``.
    """
    labels = len(wanted.labels)
    calibration = uncalibrated(labels)
    expected = scores(logits.astype(np.float32), calibration)
    return ReleaseManifest(
        disease=wanted.disease,
        model=wanted.model,
        version=version,
        created=now.isoformat(timespec="seconds"),
        least_node_version=LEAST_NODE_VERSION,
        input=InputSpec(wanted.edge_px, wanted.value_range),
        artifacts=(stage, golden),
        stages=(Stage(stage.sha256),),
        labels=wanted.labels,
        calibration=calibration,
        quality=QualityLimits(0.0, 0.0, 1.0, 0.0, 1.0),
        novelty=None,
        golden=Golden(golden.sha256, tuple(tuple(round(float(x), 6) for x in row) for row in expected)),
        backbone=None,
        data={"brought": brought},
        methods={name: {"method": "none_brought"} for name in ("temperature", "thresholds", "quality")},
    )
