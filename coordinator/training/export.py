"""From a fitted head to the file that nodes run: int8 where it answers like the float head, else float16."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training import convert, parity
from coordinator.training.ladder.budget import ENCODINGS, Encoding
from coordinator.training.linear import LinearHead
from protocols.artifacts import Artifact
from protocols.pipeline import LOGITS, StageRunner


@dataclass(frozen=True)
class Exported:
    """A head file.

    Attributes:
        data: its bytes.
        inputs: the trunk's outputs that it takes.
        encoding: of its weights.
        parity: how well it answers like the float head.
    """

    data: bytes
    inputs: tuple[str, ...]
    encoding: Encoding
    parity: dict[str, Any]


def linear(
    head: LinearHead, taps: tuple[str, ...], features: dict[str, NDArray[np.float32]], labels: list[str]
) -> Exported:
    """Convert a linear head; the first encoding that answers like the float head on the training images is taken.

    Where not even the last does, it is returned all the same: the parity gate refuses its release with the figures.

    Raises:
        CoordinatorError: ``train.conversion_…``.
    """
    channels = [features[t].shape[1] for t in taps]
    reference = head.logits(np.concatenate([features[t] for t in taps], axis=1))
    with tempfile.TemporaryDirectory() as folder:
        files = convert.convert_head(head, taps, channels, Path(folder), [e.name for e in ENCODINGS])
        for encoding, path in zip(ENCODINGS, files, strict=True):
            found = parity.compare(reference, _run(path, features, taps), labels)
            if found["ok"] or encoding is ENCODINGS[-1]:
                data = path.read_bytes()
                return Exported(data, taps, encoding, {"head": Artifact.of("head", data).sha256, **found})
    raise AssertionError


def _run(path: Path, features: dict[str, NDArray[np.float32]], taps: tuple[str, ...]) -> NDArray[np.float32]:
    runner = StageRunner(path)
    rows = [{t: features[t][i : i + 1] for t in taps} for i in range(len(features[taps[0]]))]
    return np.array([runner.run(row)[LOGITS][0] for row in rows])
