"""From logits to an answer: scores, prediction set, outcome. Pure arithmetic, so that a clinician's rule can be read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocols.imaging import Quality
from protocols.manifest import Calibration, NoveltyLimits, QualityLimits, ReleaseManifest
from protocols.novelty import Residuals

Outcome = Literal["recognised", "unsure", "not_this_kind_of_image", "poor_quality"]
Reason = Literal[
    "blurred", "underexposed", "overexposed", "another_kind", "unfamiliar", "several_labels_fit", "no_label_fits"
]

GOLDEN_TOLERANCE = 0.02  # largest honest difference of a score between two CPUs' int8 kernels


@dataclass(frozen=True)
class Answer:
    """What one model says about one picture.

    Attributes:
        scores: float64 [labels], in the manifest's order; they sum to 1.
        in_set: indices of the prediction set, likeliest first; empty where no label fits at the stated coverage.
        outcome: what to tell the clinician.
        reasons: why it is not ``recognised``; empty where it is.
        novelty: residual against the familiar limit, above 1 unfamiliar; None where the model cannot tell.
    """

    scores: NDArray[np.float64]
    in_set: tuple[int, ...]
    outcome: Outcome
    reasons: tuple[Reason, ...]
    novelty: float | None

    @property
    def considered(self) -> tuple[int, ...]:
        """The labels to read up on: the prediction set, or the two likeliest where no label fits."""
        return self.in_set or tuple(np.argsort(-self.scores, kind="stable")[:2].tolist())


def answer(
    manifest: ReleaseManifest, logits: NDArray[np.float32], quality: Quality, residuals: Residuals | None
) -> Answer:
    """Everything that a model says about a picture.

    Args:
        manifest: of the model.
        logits: [labels].
        quality: of the prepared input.
        residuals: of the picture; None where the model has no novelty statistics.
    """
    row = scores(logits, manifest.calibration)
    in_set = tuple(prediction_set(row, manifest.calibration))
    outcome, reasons = decide(in_set, quality_faults(quality, manifest.quality), residuals, manifest.novelty)
    relative = None
    if residuals is not None and manifest.novelty is not None:
        relative = residuals.appearance / max(manifest.novelty.familiar, 1e-9)
    return Answer(row, in_set, outcome, reasons, relative)


def scores(logits: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float64]:
    """Softmax of ``logits`` [..., labels] after temperature scaling (Guo et al. 2017) and bias; rows sum to 1."""
    scaled = np.asarray(logits, dtype=np.float64) / calibration.temperature + np.array(calibration.bias)
    scaled -= scaled.max(axis=-1, keepdims=True)
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def prediction_set(row: NDArray[np.float64], calibration: Calibration) -> list[int]:
    """Indices of the labels that cannot be excluded at the stated coverage, likeliest first.

    An empty set means that even the best label is stranger than nine in ten of its own images; without empty sets the
    stated coverage would not be the true one for a model that is right more often than it.
    """
    return [i for i in np.argsort(-row, kind="stable").tolist() if 1 - row[i] <= calibration.thresholds[i]]


def quality_faults(quality: Quality, limits: QualityLimits) -> tuple[Reason, ...]:
    """What is wrong with the picture itself, against those that the model knows."""
    faults: list[Reason] = []
    if quality.sharpness < limits.sharpness_min:
        faults.append("blurred")
    if quality.exposure < limits.exposure_min or quality.highlight < limits.highlight_min:
        faults.append("underexposed")
    if quality.exposure > limits.exposure_max or quality.clipped > limits.clipped_max:
        faults.append("overexposed")
    return tuple(faults)


def decide(
    in_set: tuple[int, ...],
    faults: tuple[Reason, ...],
    residuals: Residuals | None,
    limits: NoveltyLimits | None,
) -> tuple[Outcome, tuple[Reason, ...]]:
    """The outcome shown to the clinician, and why.

    A faulty picture is far from the training images in appearance too; where its layout is still theirs, the fault is the
    better explanation, and a new photograph may help.
    """
    unfamiliar = foreign = strange_layout = False
    if residuals is not None and limits is not None:
        unfamiliar = residuals.appearance > limits.familiar
        foreign = residuals.appearance > limits.foreign
        strange_layout = residuals.layout > limits.layout
    if foreign and (strange_layout or not faults):
        return "not_this_kind_of_image", ("another_kind", *faults)
    if faults:
        return "poor_quality", faults
    reasons: list[Reason] = ["unfamiliar"] if unfamiliar else []
    if len(in_set) != 1:
        reasons.append("several_labels_fit" if in_set else "no_label_fits")
    return ("unsure" if reasons else "recognised"), tuple(reasons)


def same_answer(expected: NDArray[np.float64], got: NDArray[np.float64]) -> bool:
    """The self-test's rule for scores [pictures, labels].

    No score is off by more than 0.02, and the label is the same wherever the publisher's lead was not itself within
    that tolerance.
    """
    if expected.shape != got.shape or not np.isfinite(got).all() or np.abs(expected - got).max() > GOLDEN_TOLERANCE:
        return False
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * GOLDEN_TOLERANCE
    return bool((expected.argmax(axis=1) == got.argmax(axis=1))[clear].all())
