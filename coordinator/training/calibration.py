"""From cross-validated logits to honest scores: temperature, conformal thresholds, quality limits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from protocols.imaging import Quality
from protocols.manifest import Calibration, QualityLimits
from protocols.recognition import scores

COVERAGE = 0.9
_TEMPERATURES = (math.log(0.05), math.log(20.0))


def calibrate(logits: NDArray[np.float32], truth: NDArray[np.int64], coverage: float = COVERAGE) -> Calibration:
    """Temperature by likelihood (Guo et al. 2017) and class-conditional conformal thresholds (Sadinle et al. 2019).

    Args:
        logits: [repeats, images, labels], from models that had not seen the image.
        truth: [images].
        coverage: stated probability that the set holds the true label.
    """
    images = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        p = scores(logits, math.exp(log_temperature))[:, images, truth]
        return float(-np.log(np.clip(p, 1e-12, 1)).mean())

    temperature = math.exp(float(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x))
    # An image counts once, however often the cross-validation was repeated.
    nonconformity = 1 - scores(logits, temperature)[:, images, truth].mean(axis=0)
    thresholds = [_quantile(nonconformity[truth == c], coverage) for c in range(logits.shape[2])]
    return Calibration(round(temperature, 6), coverage, tuple(round(t, 6) for t in thresholds))


def _quantile(values: NDArray[np.float64], coverage: float) -> float:
    """The finite-sample conformal quantile; 1 (never exclude) where there are too few values for the coverage."""
    rank = math.ceil((len(values) + 1) * coverage)
    return 1.0 if rank > len(values) else float(np.sort(values)[rank - 1])


def quality_limits(measured: list[Quality]) -> QualityLimits:
    """Bounds that nearly every training image passes with room to spare."""
    sharpness = np.array([q.sharpness for q in measured])
    exposure = np.array([q.exposure for q in measured])
    low, high = np.percentile(exposure, (0.5, 99.5))
    return QualityLimits(
        sharpness_min=round(float(np.percentile(sharpness, 0.5)) / 2, 4),
        exposure_min=round(float(low) / 2, 4),
        exposure_max=round(1 - (1 - float(high)) / 2, 4),
    )
