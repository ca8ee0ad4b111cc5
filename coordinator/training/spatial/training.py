"""Training spatial heads, in the parent: what the ladder calls. TensorFlow runs in a child (``child``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import Maps

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called with epochs done, epochs in all and seconds left; what it raises cancels the training, which can be resumed."""


@dataclass(frozen=True)
class SpatialFit:
    """A trained spatial head.

    Attributes:
        files: TFLite bytes by encoding, ``int8`` and ``float16``; inputs ``<layer>_map``, outputs ``logits`` and ``evidence``.
        inputs: names of the trunk's outputs that the files take, in order.
        logits: float32 [images, labels] of the float head on the training images' cached maps.
        parameters: weights of the head.
    """

    files: dict[str, bytes]
    inputs: tuple[str, ...]
    logits: NDArray[np.float32]
    parameters: int


def cross_validated(
    maps: Maps,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    plans: list[NDArray[np.int64]],
    config: SpatialConfig,
    work: Path,
    progress: Progress,
) -> NDArray[np.float32]:
    """Out-of-fold logits, float32 [repeats, images, labels].

    Args:
        maps: of all images.
        labels: int64 [images].
        groups: [images].
        plans: for each repeat the fold of each image, from ``folds.plans``.
        config: the head.
        work: folder for checkpoints; the same folder resumes where a killed training stopped.
        progress: told of every epoch.

    Raises:
        CoordinatorError: ``train.spatial_…``.
    """
    raise NotImplementedError


def fitted(
    maps: Maps,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    config: SpatialConfig,
    work: Path,
    progress: Progress,
) -> SpatialFit:
    """The head fitted on all images, converted. Arguments and failures as ``cross_validated``."""
    raise NotImplementedError
