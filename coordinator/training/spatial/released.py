"""Choosing the encoding of a spatial head: int8 where it answers like the float head, else float16."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training import parity
from coordinator.training.spatial.maps import MapReader, Maps
from coordinator.training.spatial.training import ENCODINGS, SpatialFit
from protocols.artifacts import Artifact
from protocols.pipeline import LOGITS, StageRunner


@dataclass(frozen=True)
class ReleasedHead:
    """A head as nodes get it.

    Attributes:
        data: TFLite bytes.
        inputs: the trunk's outputs that it takes.
        encoding: ``int8`` or ``float16``.
        parity: what the parity gate reads: figures against the float head on the training images, and the digest.
    """

    data: bytes
    inputs: tuple[str, ...]
    encoding: str
    parity: dict[str, Any]


def choose(fit: SpatialFit, maps: Maps, labels: list[str]) -> ReleasedHead:
    """The smallest encoding that answers like the float head on the training images.

    One that does not even as float16 is returned all the same: the parity gate refuses its release with the figures.
    """
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ENCODINGS:
            path = Path(folder) / f"{encoding}.tflite"
            path.write_bytes(fit.files[encoding])
            found = parity.compare(fit.logits, released_logits(path, fit.inputs, maps), labels)
            if found["ok"] or encoding == ENCODINGS[-1]:
                data = fit.files[encoding]
                return ReleasedHead(data, fit.inputs, encoding, {"head": Artifact.of("head", data).sha256, **found})
    raise AssertionError


def released_logits(file: Path, inputs: tuple[str, ...], maps: Maps) -> NDArray[np.float32]:
    """What a converted head answers to the cached maps, float32 [images, labels], as a node runs it."""
    runner, reader = StageRunner(file), MapReader(maps)

    def of(image: int) -> NDArray[np.float32]:
        outputs = runner.run({name: reader.values(name.removesuffix("_map"), image) for name in inputs})
        return np.asarray(outputs[LOGITS][0], dtype=np.float32)

    return np.array([of(image) for image in range(maps.images)])
