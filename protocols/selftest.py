"""Running a release on its own golden pictures; publisher and node use the same code."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from protocols.errors import ProtocolError
from protocols.imaging import prepare
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines
from protocols.recognition import scores

_MAX_EDGE_PX = 128
_MAX_PICTURES = 64


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


def golden_scores(manifest: ReleaseManifest, strip_png: bytes, pipelines: Pipelines) -> NDArray[np.float64]:
    """Scores [pictures, labels] as this machine computes them.

    Raises:
        ProtocolError: the strip is malformed or a stage cannot be run.
    """
    logits = [pipelines.logits(manifest, prepare(p, manifest.input), {}) for p in pictures(strip_png)]
    return scores(np.array(logits), manifest.calibration.temperature)
