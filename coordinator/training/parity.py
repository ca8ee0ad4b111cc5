"""Does the released head answer like the float one? Compared on the features that nodes compute, overall and per class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training.calibration import uncalibrated
from protocols.recognition import scores

LEAST_AGREEMENT = 0.998
LEAST_CLASS_AGREEMENT = 0.99
MOST_SCORE_DIFFERENCE = 0.02  # for 99 of 100 images


def compare(reference: NDArray[np.float32], released: NDArray[np.float32], labels: list[str]) -> dict[str, Any]:
    """Figures of a released head against its float reference.

    A class of fewer than a hundred images may differ in one of them.

    Args:
        reference: float logits [images, labels].
        released: logits of the TFLite head on the same features.
        labels: names, in order.

    Returns:
        ``agreement`` (share of equal top labels), ``per_class`` (the same by the reference's label), ``score_difference``
        (99th percentile of the largest difference of a score) and ``ok``.
    """
    top, got = reference.argmax(axis=1), released.argmax(axis=1)
    plain = uncalibrated(reference.shape[1])
    difference = np.abs(scores(reference, plain) - scores(released, plain)).max(axis=1)
    percentile = float(np.percentile(difference, 99))
    agreement = float((top == got).mean())
    per_class, classes_ok = {}, True
    for number, label in enumerate(labels):
        own = top == number
        if not own.any():
            continue
        per_class[label] = round(float((got[own] == number).mean()), 5)
        classes_ok &= int((got[own] != number).sum()) <= max(1, int((1 - LEAST_CLASS_AGREEMENT) * own.sum()))
    ok = agreement >= LEAST_AGREEMENT and percentile <= MOST_SCORE_DIFFERENCE and classes_ok
    return {
        "agreement": round(agreement, 5),
        "per_class": per_class,
        "score_difference": round(percentile, 5),
        "ok": bool(ok),
    }
