"""From a fitted head to the file that nodes run: int8 where it answers like the float head, else float16."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
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

Rows = Callable[[int], dict[str, NDArray[np.float32]]]
"""What a head file takes for one image, each [1, …]."""


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
    """Convert a linear head and compare it on the training images' features.

    Raises:
        CoordinatorError: ``train.conversion_…``.
    """
    channels = [features[t].shape[1] for t in taps]
    reference = head.logits(np.concatenate([features[t] for t in taps], axis=1))
    with tempfile.TemporaryDirectory() as folder:
        files = convert.convert_head(head, taps, channels, Path(folder), [e.name for e in ENCODINGS])
        data = {e.name: f.read_bytes() for e, f in zip(ENCODINGS, files, strict=True)}
    return chosen(data, taps, reference, lambda i: {t: features[t][i : i + 1] for t in taps}, labels)


def chosen(
    files: dict[str, bytes], inputs: tuple[str, ...], reference: NDArray[np.float32], rows: Rows, labels: Sequence[str]
) -> Exported:
    """The first encoding that answers like the float head.

    Where not even the last does, it is returned all the same: the parity gate refuses its release with the figures.

    Args:
        files: TFLite bytes by encoding.
        inputs: of the files.
        reference: float logits [images, labels].
        rows: the inputs of one of those images.
        labels: names, in order.
    """
    for encoding in ENCODINGS:
        data = files[encoding.name]
        found = parity.compare(reference, _run(data, rows, len(reference)), list(labels))
        if found["ok"] or encoding is ENCODINGS[-1]:
            return Exported(data, inputs, encoding, {"head": Artifact.of("head", data).sha256, **found})
    raise AssertionError


def _run(data: bytes, rows: Rows, images: int) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.tflite"
        path.write_bytes(data)
        runner = StageRunner(path)
        return np.array([runner.run(rows(i))[LOGITS][0] for i in range(images)])
