"""A trunk's map as it is kept: levels of eight bits, with one scale for each channel of each image (docs/adr/0024)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEVELS = 255


def quantised(activation: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Levels uint8 [height, width, channels] and scales float32 [channels] of a map without negative values."""
    highest = activation.max(axis=(0, 1))
    steps = np.divide(_LEVELS, highest, out=np.zeros_like(highest), where=highest > 0)
    with np.errstate(invalid="ignore"):  # what is no number is refused by its features
        levels = np.rint(activation * steps).astype(np.uint8)
    return levels, (highest / _LEVELS).astype(np.float32)
