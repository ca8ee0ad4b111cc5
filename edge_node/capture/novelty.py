"""How unlike the training images a region is, asked of the process that runs models. Blocking."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_node.recognition.picture import Picture
from edge_node.recognition.service import Recogniser
from protocols.imaging import InputSpec
from protocols.manifest import ReleaseManifest
from protocols.novelty import Residuals
from protocols.pipeline import Tensors


class ModelNovelty:
    """A ``NoveltyRunner`` whose model runs where all models run: it may die there, and is loaded once."""

    def __init__(self, models: Recogniser) -> None:
        self._models = models

    def residuals(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Residuals | None:
        """The appearance alone (the layout is not a number); None where the release has no statistics.

        Raises: as the models' ``recognise``.
        """
        if manifest.novelty is None:
            return None
        # The process takes files. ``prepare`` leaves a picture of the model's own size as it is: the same pixels arrive.
        with tempfile.NamedTemporaryFile(prefix="medmesh-", suffix=".png") as file:
            _picture(pixels, manifest.input).save(file, "PNG", compress_level=1)
            file.flush()
            (found,) = self._models.recognise(Picture(Path(file.name)), [manifest])
        assert found.answer.novelty is not None  # the manifest has limits
        return Residuals(found.answer.novelty * max(manifest.novelty.familiar, 1e-9), math.nan)


def _picture(pixels: NDArray[np.float32], spec: InputSpec) -> Image.Image:
    """Undo the scaling of values in model input [1, edge, edge, 3]."""
    low, high = spec.value_range
    return Image.fromarray(np.rint((pixels[0] - low) * (255.0 / (high - low))).clip(0, 255).astype(np.uint8))
