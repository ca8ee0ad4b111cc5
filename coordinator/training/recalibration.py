"""Fitting a model's calibration to another site, from a small labelled set of that site. Nothing of the network changes.

Brightness, crops and class balance of another site move the operating point more than the ranking. So the temperature and
a bias for each label are fitted again (bias-corrected temperature scaling, Alexandari et al. 2020), then the conformal
thresholds and the limits of what is familiar and of good quality. All of it stands in the manifest: nodes fetch no other byte.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from coordinator.errors import CoordinatorError
from coordinator.training import folds, metrics
from coordinator.training.calibration import COVERAGE, thresholds
from coordinator.training.evaluation import Evaluation
from protocols.imaging import Quality
from protocols.manifest import Calibration, NoveltyLimits, QualityLimits, ReleaseManifest
from protocols.novelty import Residuals
from protocols.recognition import scores

LEAST_IMAGES = 10  # of each class; below that a quantile says nothing
_FOLDS = 5
_FAMILIAR = 0.97
_PRIOR_IMAGES = 4.0  # a bias of 1, or a temperature moved by e, is held back as much as so many images speak for it
_ORDINARY = 0.99  # share of the site's pictures that pass each bound of quality
_ROOM = 0.95


@dataclass(frozen=True)
class Recalibrated:
    """A manifest for the site, and what it changed there."""

    manifest: ReleaseManifest
    document: dict[str, Any]


def recalibrate(manifest: ReleaseManifest, site: Evaluation) -> Recalibrated:
    """Fit the calibration to a site.

    Args:
        manifest: of the model; the result differs in ``calibration``, ``novelty``, ``quality``, ``methods`` and ``data``.
        site: the model's answers over labelled images of the site.

    Raises:
        CoordinatorError: ``recalibrate.too_few``, ``recalibrate.one_group``.
    """
    names = [x.label for x in manifest.labels]
    counts = Counter(site.truth.tolist())
    for number, label in enumerate(names):
        if counts[number] < LEAST_IMAGES:
            raise CoordinatorError("recalibrate.too_few", label=label, count=counts[number], least=LEAST_IMAGES)
    images, groups = len(site.truth), len(set(site.groups.tolist()))
    if groups < 2:
        raise CoordinatorError("recalibrate.one_group")
    logits = np.array([p.logits for p in site.predictions])
    start = manifest.calibration
    if start.coverage >= 1:  # brought ready-trained and never calibrated
        start = replace(start, coverage=COVERAGE)
    unseen = _out_of_fold(logits, site, start)
    nonconformity = 1 - unseen[np.arange(len(site.truth)), site.truth]
    fitted = replace(
        fit(logits, site.truth, start),
        thresholds=thresholds(nonconformity, site.truth, site.groups, start.coverage),
    )
    document = {
        "images": images,
        "groups": groups,
        "before": _figures(site, site.scores, manifest.calibration),
        "after": _figures(site, unseen, fitted),
    }
    residuals = [p.residuals for p in site.predictions if p.residuals is not None]
    result = replace(
        manifest,
        calibration=fitted,
        novelty=None if manifest.novelty is None else wider(manifest.novelty, residuals),
        quality=more_lenient(manifest.quality, [p.quality for p in site.predictions]),
        data={**manifest.data, "recalibrated": document},
    )
    return Recalibrated(replace(result, methods=methods(manifest, result, images, groups)), document)


def methods(before: ReleaseManifest, after: ReleaseManifest, images: int, groups: int) -> dict[str, dict[str, Any]]:
    """How each threshold was found: at the site where it moved there, else as before."""
    found = before.methods | {
        "temperature": {"method": "likelihood_at_site", "images": images, "groups": groups, "prior": _PRIOR_IMAGES},
        "thresholds": {
            "method": "class_conditional_conformal_at_site",
            "coverage": after.calibration.coverage,
            "groups": groups,
        },
    }
    if before.novelty is not None and after.novelty is not None:
        if after.novelty.familiar != before.novelty.familiar:
            found["familiar"] = {"method": "quantile_at_site", "share": _FAMILIAR, "images": images}
            found["foreign"] = {"method": "stretched_like_familiar"}
        if after.novelty.layout != before.novelty.layout:
            found["layout"] = {"method": "quantile_at_site", "share": _FAMILIAR, "images": images}
    if after.quality != before.quality:
        found["quality"] = {
            "method": "widened_at_site",
            "share": _ORDINARY,
            "room": round(1 - _ROOM, 6),
            "images": images,
        }
    return found


def fit(logits: NDArray[np.float32], truth: NDArray[np.int64], start: Calibration) -> Calibration:
    """Temperature and bias by likelihood, every class counting alike; a small set moves them little.

    Args:
        logits: [images, labels].
        truth: [images].
        start: what is known so far.
    """
    classes = logits.shape[1]
    counts = np.bincount(truth, minlength=classes)
    weights = (len(truth) / (classes * counts))[truth]
    images = np.arange(len(truth))

    def at(values: NDArray[np.float64]) -> Calibration:
        bias = values[1:] - values[1:].mean()
        return replace(start, temperature=float(np.exp(values[0])), bias=tuple(bias.tolist()))

    def loss(values: NDArray[np.float64]) -> float:
        p = scores(logits, at(values))[images, truth]
        moved = np.square(values - origin).sum()
        return float(-(weights * np.log(np.clip(p, 1e-12, 1))).sum() + _PRIOR_IMAGES / 2 * moved)

    origin = np.array([np.log(start.temperature), *start.bias])
    bounds = [(np.log(0.05), np.log(20.0)), *[(-10.0, 10.0)] * classes]
    found = at(minimize(loss, origin, method="L-BFGS-B", bounds=bounds).x)
    return replace(found, temperature=round(found.temperature, 6), bias=tuple(round(b, 6) for b in found.bias))


def wider(limits: NoveltyLimits, site: list[Residuals]) -> NoveltyLimits:
    """Limits that the site's own images pass like training images passed the former ones; never narrower."""
    appearance = float(np.quantile([r.appearance for r in site], _FAMILIAR))
    layout = float(np.quantile([r.layout for r in site], _FAMILIAR))
    stretch = max(appearance / limits.familiar, 1.0)
    return replace(
        limits,
        familiar=round(limits.familiar * stretch, 6),
        foreign=round(limits.foreign * stretch, 6),
        layout=round(max(layout, limits.layout), 6),
    )


def more_lenient(limits: QualityLimits, site: list[Quality]) -> QualityLimits:
    """Bounds that do not call the site's ordinary pictures poor; never stricter."""

    def low(measure: str) -> float:
        return round(_ROOM * float(np.quantile([getattr(q, measure) for q in site], 1 - _ORDINARY)), 5)

    def high(measure: str) -> float:
        return round(1 - _ROOM * (1 - float(np.quantile([getattr(q, measure) for q in site], _ORDINARY))), 5)

    return QualityLimits(
        sharpness_min=min(limits.sharpness_min, low("sharpness")),
        exposure_min=min(limits.exposure_min, low("exposure")),
        exposure_max=max(limits.exposure_max, high("exposure")),
        highlight_min=min(limits.highlight_min, low("highlight")),
        clipped_max=max(limits.clipped_max, high("clipped")),
    )


def _out_of_fold(logits: NDArray[np.float32], site: Evaluation, start: Calibration) -> NDArray[np.float64]:
    """Scores [images, labels] from calibrations that had not seen the image's group."""
    (plan,) = folds.plans(site.truth, site.groups, _FOLDS, 1)
    result = np.zeros(logits.shape)
    for fold in np.unique(plan):
        test = plan == fold
        result[test] = scores(logits[test], fit(logits[~test], site.truth[~test], start))
    return result


def _figures(site: Evaluation, probabilities: NDArray[np.float64], calibration: Calibration) -> dict[str, Any]:
    """Headline figures at the site; ``after`` is out of fold, except for the thresholds' own quantile."""
    top = probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    inside = 1 - probabilities <= np.array(calibration.thresholds)
    return {
        "balanced_accuracy": round(metrics.balanced_accuracy(metrics.confusion(site.truth, top, classes)), 4),
        "ece": round(metrics.expected_calibration_error(site.truth, probabilities), 4),
        "coverage": round(float(inside[np.arange(len(site.truth)), site.truth].mean()), 4),
    }
