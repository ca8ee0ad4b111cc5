"""Images whose label the cross-validated model disputes most. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coordinator.intake.samples import Sample
from coordinator.training.oof import OutOfFold

MOST = 12


def disputed(found: OutOfFold, labels: Sequence[str], samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Wrong by the mean of the repeats, of models that had seen neither the image nor its group; the surest first.

    Args:
        found: out-of-fold answers.
        labels: of its columns.
        samples: of the data set now; images that are gone, or were given another label since, are left out.
    """
    now = {s.sha256: s for s in samples}
    raised = np.exp(found.logits.astype(np.float64) - found.logits.max(axis=2, keepdims=True))
    mean = (raised / raised.sum(axis=2, keepdims=True)).mean(axis=0)
    rows: list[dict[str, Any]] = []
    for image, truth, score in zip(found.images, found.truth, mean, strict=True):
        sample, given = now.get(image), int(score.argmax())
        if sample is None or sample.label != labels[truth] or given == truth:
            continue
        rows.append(
            {
                "sha256": image,
                "file": sample.file,
                "label": sample.label,
                "model_says": labels[given],
                "score": round(float(score[given]), 4),
                "score_of_label": round(float(score[truth]), 4),
            }
        )
    rows.sort(key=lambda r: (r["score_of_label"] - r["score"], r["sha256"]))
    return rows[:MOST]
