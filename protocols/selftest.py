"""Running a release on its own golden pictures; publisher and node use the same code."""

from __future__ import annotations

import io
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from protocols.errors import ProtocolError
from protocols.imaging import prepare
from protocols.manifest import ReleaseManifest
from protocols.novelty import Residuals
from protocols.pipeline import Tensors
from protocols.recognition import scores

_MAX_EDGE_PX = 128
_MAX_PICTURES = 64


class Runner(Protocol):
    """Runs a release's stages; ``protocols.pipeline.Pipelines`` in the field."""

    def logits(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> NDArray[np.float32]:
        """Logits [labels] for prepared pixels; ``memo`` is shared by the releases that see the same pixels."""
        ...

    def residuals(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Residuals | None:
        """How unlike the training images they are; None where the release cannot tell."""
        ...


def pictures(strip_png: bytes) -> list[Image.Image]:
    """Cut the strip into its squares.

    Raises:
        ProtocolError: ``manifest.malformed`` where it is no such strip.
    """
    try:
        with Image.open(io.BytesIO(strip_png), formats=("PNG",)) as strip:
            edge, count = strip.height, strip.width // max(strip.height, 1)
            if edge > _MAX_EDGE_PX or count > _MAX_PICTURES or strip.width != edge * count:
                raise ValueError
            whole = strip.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ProtocolError("manifest.malformed", field="golden") from error
    return [whole.crop((i * edge, 0, (i + 1) * edge, edge)) for i in range(count)]


def golden_scores(manifest: ReleaseManifest, strip_png: bytes, runner: Runner) -> NDArray[np.float64]:
    """Scores [pictures, labels] as this machine computes them.

    Raises:
        ProtocolError: the strip is malformed or a stage cannot be run.
    """
    logits = [runner.logits(manifest, prepare(p, manifest.input), {}) for p in pictures(strip_png)]
    return scores(np.array(logits), manifest.calibration)
