"""Made-up maps in which a class shows as a pattern of channels at one place, so that a spatial head can learn it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.training.spatial.maps import MapCache, Maps, MapStore, packed

TRUNK = "c" * 64
SHAPE = (3, 3, 768)
LIMIT = 10**9


def digests(count: int) -> list[str]:
    return [f"{n:064x}" for n in range(count)]


def activations(labels: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    """Maps [images, 3, 3, 768], not negative."""
    chance = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(size=(int(labels.max()) + 1, SHAPE[2])).astype(np.float32)
    values = chance.normal(size=(len(labels), *SHAPE)).astype(np.float32)
    for image, label in enumerate(labels):
        row, column = chance.integers(0, 3, 2)
        values[image, row, column] += patterns[label]
    return np.maximum(values, 0)


def store(
    folder: Path, layers: tuple[str, ...] = ("mixed4", "mixed7"), limit: int = LIMIT, trunk: str = TRUNK
) -> MapStore:
    return MapCache(folder, limit).store(trunk, dict.fromkeys(layers, SHAPE))


def made(folder: Path, labels: NDArray[np.int64], views: int = 0) -> Maps:
    """A cache with maps of as many images as there are labels."""
    kept = store(folder)
    for view in range(views + 1):
        values = {layer: activations(labels, seed + 10 * view) for seed, layer in enumerate(kept.shapes)}
        for image, digest in enumerate(digests(len(labels))):
            key = f"{digest}/{view}" if view else digest
            kept.put(key, {layer: packed(v[image]) for layer, v in values.items()})
    kept.flush()
    return kept.maps(digests(len(labels)), views)
