"""The rungs on the trunk's maps: which spatial heads each effort tries, and their answers for unseen groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.training.export import Exported
from coordinator.training.ladder.budget import ENCODINGS
from coordinator.training.selection import OUTER_FOLDS, Data
from coordinator.training.spatial import released
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import Maps
from coordinator.training.spatial.training import SpatialFit, cross_validated, fitted

# From light to heavy. No figure here was chosen for one data set: docs/adr/0025.
_SMALL = SpatialConfig(
    maps=("mixed4",), width=32, epochs=24, learning_rate=2e-3, weight_decay=0.05, label_smoothing=0.05, views=1
)
_BOTH = replace(_SMALL, maps=("mixed4", "mixed7"), epochs=16)
_LARGE = replace(_BOTH, width=48, depth=2, epochs=24)
CONFIGS: dict[str, tuple[SpatialConfig, ...]] = {
    "quick": (),
    "standard": (_SMALL, _BOTH),
    "full": (replace(_SMALL, epochs=32), replace(_BOTH, epochs=24), _LARGE),
}
REPEATS = {"quick": 0, "standard": 1, "full": 2}  # of the cross-validation
# Epochs are those of so many images; fewer images are shown more often, many less often: steps teach, not epochs.
_USUAL_IMAGES, _LEAST_OFTEN, _MOST_OFTEN = 1600, 0.5, 2.5
Told = Callable[[int, int], None]


def name(config: SpatialConfig) -> str:
    """How tables call a spatial head."""
    members = f" x{config.members}" if config.members > 1 else ""
    kind = "distilled" if config.taught else "spatial"
    return f"{kind} head {'+'.join(config.maps)}, {config.width} channels{members}"


def within(effort: str, budget_bytes: int, labels: int, images: int) -> tuple[SpatialConfig, ...]:
    """The spatial heads that an effort tries within a budget on so many images, from light to heavy."""
    often = min(max(_USUAL_IMAGES / max(images, 1), _LEAST_OFTEN), _MOST_OFTEN)
    fitting = (c for c in CONFIGS[effort] if c.estimated_bytes(labels) <= budget_bytes)
    return tuple(replace(c, epochs=max(round(c.epochs * often), 1)) for c in fitting)


def layers(effort: str) -> tuple[str, ...]:
    """The trunk's layers whose maps an effort needs."""
    return tuple(sorted({layer for c in CONFIGS[effort] for layer in c.maps}))


def views(effort: str) -> int:
    """How many altered views of each image it needs maps of."""
    return max((c.views for c in CONFIGS[effort]), default=0)


def map_epochs(effort: str, budget_bytes: int, labels: int, images: int) -> int:
    """Passes of one head over one map of all images, over all folds and a last fit; for telling the time."""
    each = [c.epochs * c.members * len(c.maps) for c in within(effort, budget_bytes, labels, images)]
    return sum(each) * (OUTER_FOLDS - 1) * REPEATS[effort] + max(each, default=0)


def answers(
    maps: Maps,
    data: Data,
    plans: Sequence[NDArray[np.int64]],
    config: SpatialConfig,
    work: Path,
    told: Told,
    taught: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Out-of-fold logits [repeats, images, labels]; ``taught``: as ``job.cross_validation`` takes it.

    Raises:
        CoordinatorError: ``train.spatial_…``.
    """
    return cross_validated(
        maps, data.labels, data.groups, list(plans), config, work, lambda done, total, left: told(done, total), taught
    )


def fit(
    maps: Maps,
    data: Data,
    config: SpatialConfig,
    work: Path,
    told: Told,
    taught: NDArray[np.float32] | None = None,
) -> SpatialFit:
    """Fit a spatial head on all images; ``taught``: as ``job.final_fit`` takes it.

    Raises:
        CoordinatorError: ``train.spatial_…`` or ``train.conversion_…``.
    """
    return fitted(maps, data.labels, data.groups, config, work, lambda done, total, left: told(done, total), taught)


def export(fit: SpatialFit, maps: Maps, labels: list[str]) -> Exported:
    """Its file, as it answers like the float head on the cached maps."""
    found = released.choose(fit, maps, labels)
    encoding = next(e for e in ENCODINGS if e.name == found.encoding)
    return Exported(found.data, found.inputs, encoding, found.parity)
