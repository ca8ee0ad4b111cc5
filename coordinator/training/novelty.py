"""Finding the limits of what a model knows, from images it was not fitted on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from protocols.novelty import NoveltyStatistics, Subspace

# Chosen by experiment (docs/adr/0006): both depths together tell near misses best, and few axes leave little to overfit.
TAPS = ("mixed4_avg", "mixed7_avg")
APPEARANCE_AXES = 12
LAYOUT_AXES = 6
FAMILIAR = 0.97  # share of unseen training images below the familiar limit
ALTERED = (
    0.75  # share of unseen altered views below the foreign limit; at 0.90 a third of brain scans were only "unsure"
)
_LEAST_FOREIGN = 1.5  # times the familiar limit
_LAYOUT_MARGIN = 1.5


@dataclass(frozen=True)
class Views:
    """What novelty is fitted on: features float32 [images, features] and thumbnails [images, 192]."""

    features: NDArray[np.float32]
    thumbnails: NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """Residual limits; see ``protocols.manifest.NoveltyLimits``."""

    familiar: float
    foreign: float
    layout: float


def fit(images: Views) -> NoveltyStatistics:
    """Statistics of the images themselves; altered views would hide near misses (AUROC 0.99 to 0.89)."""
    return NoveltyStatistics(principal(images.features, APPEARANCE_AXES), principal(images.thumbnails, LAYOUT_AXES))


def principal(features: NDArray[np.float32], axes: int) -> Subspace:
    """The first principal axes of float32 [images, features]; fewer where there are few images."""
    mean = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    scale = np.maximum(spread, 0.1 * np.median(spread) + 1e-4)
    standard = ((features - mean) / scale).astype(np.float32)
    size = standard.shape[1]
    count = min(size, max(1, min(axes, len(features) // 4)))
    _, vectors = eigh(standard.T @ standard, subset_by_index=(size - count, size - 1))
    return Subspace(mean.astype(np.float32), scale.astype(np.float32), vectors).stored()


def limits(images: Views, altered: NDArray[np.float32], source: NDArray[np.int64], fold: NDArray[np.int64]) -> Limits:
    """Limits by cross-validation, so that they hold for unseen groups.

    Args:
        images: the training images.
        altered: float32 [views, features], views of some of them; may be empty.
        source: int64 [views], the image that each view is of.
        fold: int64 [images], from ``folds.plans``.
    """
    appearance, layout = np.zeros(len(fold)), np.zeros(len(fold))
    strange = np.zeros(len(altered))
    for number in np.unique(fold):
        test, views = fold == number, fold[source] == number
        fitted = fit(Views(images.features[~test], images.thumbnails[~test]))
        appearance[test] = fitted.appearance.residual(images.features[test])
        layout[test] = fitted.layout.residual(images.thumbnails[test])
        if views.any():
            strange[views] = fitted.appearance.residual(altered[views])
    familiar = float(np.quantile(appearance, FAMILIAR))
    foreign = float(np.quantile(strange, ALTERED)) if len(strange) else 0.0
    return Limits(
        familiar, max(foreign, _LEAST_FOREIGN * familiar), _LAYOUT_MARGIN * float(np.quantile(layout, FAMILIAR))
    )


def methods(views: int) -> dict[str, dict[str, Any]]:
    """How ``limits`` finds them, for the manifest. ``views``: altered views that there were."""
    return {
        "familiar": {"method": "quantile_of_unseen_images", "share": FAMILIAR},
        "foreign": {"method": "quantile_of_altered_views", "share": ALTERED, "views": views, "least": _LEAST_FOREIGN},
        "layout": {"method": "multiple_of_quantile", "share": FAMILIAR, "times": _LAYOUT_MARGIN},
    }
