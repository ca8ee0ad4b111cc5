"""A linear and a spatial head as one: the pools see the whole picture, the maps see places, and their errors differ.

Both are brought to the temperature at which each loses least on out-of-fold answers, then added. Nothing is trained for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.training import convert, parity
from coordinator.training.export import Exported
from coordinator.training.ladder.budget import ENCODINGS
from coordinator.training.ladder.comparison import temperature
from coordinator.training.linear import LinearHead
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import MapReader, Maps
from coordinator.training.spatial.training import SpatialFit
from protocols.artifacts import Artifact
from protocols.pipeline import LOGITS, StageRunner

SUFFIX = " + linear"


@dataclass(frozen=True)
class Scales:
    """What each head's logits are multiplied with."""

    linear: float
    spatial: float

    @classmethod
    def of(cls, truth: NDArray[np.int64], linear: NDArray[np.float32], spatial: NDArray[np.float32]) -> Scales:
        """From out-of-fold logits [repeats, images, labels]."""
        return cls(1 / temperature(truth, linear), 1 / temperature(truth, spatial))

    def add(self, linear: NDArray[np.float32], spatial: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of the joined head, over the repeats that both have where there are repeats."""
        count = min(len(linear), len(spatial))
        return np.asarray(linear[:count] * self.linear + spatial[:count] * self.spatial, dtype=np.float32)


def export(
    head: LinearHead,
    taps: tuple[str, ...],
    features: dict[str, NDArray[np.float32]],
    fit: SpatialFit,
    config: SpatialConfig,
    maps: Maps,
    scales: Scales,
    labels: Sequence[str],
) -> Exported:
    """One file of both; the first encoding that answers like the float heads on the training images is taken.

    Raises:
        CoordinatorError: ``train.conversion_…``.
    """
    scaled = LinearHead(head.weights * np.float32(scales.linear), head.bias * np.float32(scales.linear))
    reference = scales.add(head.logits(np.concatenate([features[t] for t in taps], axis=1)), fit.logits)
    reader, channels = MapReader(maps), [features[t].shape[1] for t in taps]
    with tempfile.TemporaryDirectory() as folder:
        files = convert.convert_joined(
            scaled,
            taps,
            channels,
            fit.folded,
            config.document(),
            maps.shape,
            scales.spatial,
            Path(folder),
            [e.name for e in ENCODINGS],
        )
        for encoding, path in zip(ENCODINGS, files, strict=True):
            runner = StageRunner(path)

            def answer(image: int, runner: StageRunner = runner) -> NDArray[np.float32]:
                inputs = {t: features[t][image : image + 1] for t in taps}
                inputs |= {n: reader.values(n.removesuffix("_map"), image) for n in fit.inputs}
                return np.asarray(runner.run(inputs)[LOGITS][0], dtype=np.float32)

            found = parity.compare(reference, np.array([answer(i) for i in range(maps.images)]), list(labels))
            if found["ok"] or encoding is ENCODINGS[-1]:
                data = path.read_bytes()
                return Exported(
                    data, (*taps, *fit.inputs), encoding, {"head": Artifact.of("head", data).sha256, **found}
                )
    raise AssertionError
