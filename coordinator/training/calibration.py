"""From cross-validated logits to honest scores: temperature, conformal thresholds, quality limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.imaging import Quality
from protocols.manifest import Calibration, QualityLimits
from protocols.recognition import scores

COVERAGE = 0.9
_REFUSED = 0.004  # share of originals beyond each bound
_CAUGHT = 0.98  # share of degraded copies that a bound should catch
_TOWARDS = 0.25
_TEMPERATURES = (math.log(0.05), math.log(20.0))


def calibrate(
    logits: NDArray[np.float32], truth: NDArray[np.int64], groups: NDArray[np.str_], coverage: float = COVERAGE
) -> Calibration:
    """Temperature by likelihood (Guo et al. 2017) and class-conditional conformal thresholds (Sadinle et al. 2019).

    Args:
        logits: [repeats, images, labels], from models that had not seen the image.
        truth: [images].
        groups: [images]; images of one patient are not independent witnesses.
        coverage: stated probability that the set holds the true label.
    """
    from scipy.optimize import minimize_scalar  # slow to import: only for who calibrates

    images = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        p = scores(logits, uncalibrated(logits.shape[2], math.exp(log_temperature)))[:, images, truth]
        return float(-np.log(np.clip(p, 1e-12, 1)).mean())

    temperature = math.exp(float(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x))
    plain = uncalibrated(logits.shape[2], round(temperature, 6))
    # All repeats together: a mean over them is steadier than the single model that is shipped, and its sets too small.
    # The correction counts groups, so repeats do not pass for more patients.
    nonconformity = (1 - scores(logits, plain)[:, images, truth]).ravel()
    repeats = len(logits)
    found = thresholds(nonconformity, np.tile(truth, repeats), np.tile(groups, repeats), coverage)
    return replace(plain, coverage=coverage, thresholds=found)


def calibration_methods(images: int, groups: int, coverage: float = COVERAGE) -> dict[str, dict[str, Any]]:
    """How ``calibrate`` finds its values, for the manifest."""
    return {
        "temperature": {"method": "maximum_likelihood", "images": images},
        "thresholds": {"method": "class_conditional_conformal", "coverage": coverage, "groups": groups},
    }


def thresholds(
    nonconformity: NDArray[np.float64], truth: NDArray[np.int64], groups: NDArray[np.str_], coverage: float
) -> tuple[float, ...]:
    """Class-conditional conformal thresholds for the nonconformity [images] of the true labels; every class occurs."""
    return tuple(
        round(_quantile(nonconformity[truth == c], groups[truth == c], coverage), 6)
        for c in range(int(truth.max()) + 1)
    )


def uncalibrated(classes: int, temperature: float = 1.0) -> Calibration:
    """Scores as the head gives them, every label in the set."""
    return Calibration(temperature, 0.0, (1.0,) * classes, (0.0,) * classes)


def _quantile(values: NDArray[np.float64], groups: NDArray[np.str_], coverage: float) -> float:
    """The conformal quantile, with the finite-sample correction for groups instead of images (Dunn et al. 2022).

    1 (never exclude) where there are too few groups for the coverage.
    """
    count = len(np.unique(groups))
    level = (count + 1) * coverage / count
    return 1.0 if level > 1 else float(np.sort(values)[math.ceil(round(level * len(values), 9)) - 1])


def quality_limits(originals: list[Quality], degraded: list[dict[str, Quality]]) -> QualityLimits:
    """Bounds that nearly every original passes; from there a little of the way towards the degraded copies.

    Args:
        originals: of the training images.
        degraded: of degraded copies of some of them, by kind (``views.DEGRADED``).
    """

    def bound(measure: str, low: bool, kinds: tuple[str, ...]) -> float:
        good = np.array([getattr(q, measure) for q in originals])
        bad = np.array([getattr(copies[kind], measure) for copies in degraded for kind in kinds])
        edge = float(np.quantile(good, _REFUSED if low else 1 - _REFUSED))
        if not len(bad):
            return edge
        worst = float(np.quantile(bad, _CAUGHT if low else 1 - _CAUGHT))
        apart = worst < edge if low else worst > edge
        return round(edge + _TOWARDS * (worst - edge), 5) if apart else round(edge, 5)

    return QualityLimits(
        sharpness_min=bound("sharpness", True, ("blurred",)),
        exposure_min=bound("exposure", True, ("dark", "dark gamma")),
        exposure_max=bound("exposure", False, ("bright", "washed out")),
        highlight_min=bound("highlight", True, ("dark",)),
        clipped_max=bound("clipped", False, ("bright",)),
    )


def quality_method(copies: int) -> dict[str, Any]:
    """How ``quality_limits`` finds its bounds, for the manifest. ``copies``: images of which there were degraded copies."""
    return {
        "method": "between_images_and_degraded_copies",
        "share": 1 - _REFUSED,
        "caught": _CAUGHT,
        "towards": _TOWARDS,
        "copies": copies,
    }
