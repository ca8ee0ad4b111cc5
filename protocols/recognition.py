"""From logits to an answer: scores, prediction set, outcome. Pure arithmetic, so that a clinician's rule can be read here."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocols.imaging import Quality
from protocols.manifest import Calibration, QualityLimits

Outcome = Literal["recognised", "unsure", "not_this_kind_of_image", "poor_quality"]

GOLDEN_TOLERANCE = 0.02  # largest honest difference of a score between two CPUs' int8 kernels


def scores(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Softmax of ``logits`` [..., labels] after temperature scaling (Guo et al. 2017); rows sum to 1."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def prediction_set(row: NDArray[np.float64], calibration: Calibration) -> list[int]:
    """Indices of the labels that cannot be excluded at the stated coverage, likeliest first; never empty.

    An empty conformal set means that even the best label is stranger than expected. Then the two best labels are
    given: the answer is "unsure", and the reader still sees what the model leant to.
    """
    inside = [i for i in np.argsort(-row, kind="stable").tolist() if 1 - row[i] <= calibration.thresholds[i]]
    return inside or np.argsort(-row, kind="stable").tolist()[:2]


def quality_ok(quality: Quality, limits: QualityLimits) -> bool:
    """Whether the image is sharp and exposed like the images the model knows."""
    return quality.sharpness >= limits.sharpness_min and limits.exposure_min <= quality.exposure <= limits.exposure_max


def decide(labels_in_set: list[int], good_quality: bool) -> Outcome:
    """The outcome shown to the clinician."""
    if not good_quality:
        return "poor_quality"
    return "recognised" if len(labels_in_set) == 1 else "unsure"


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
