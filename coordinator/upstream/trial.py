"""Running a foreign release on pictures, in the sandbox: the very code that nodes run. The room holds its files by digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coordinator.errors import CoordinatorError
from protocols.errors import ProtocolError
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines, Tensors
from protocols.selftest import golden_scores

MANIFEST = "manifest.json"
_ROUNDS = 2
Image.preinit()  # Python's own files may be out of reach once the process is confined


def try_release(_: dict[str, Any]) -> dict[str, Any]:
    """Scores [pictures, labels] of the golden pictures; then black, white and noise, which must give numbers too.

    Raises:
        CoordinatorError: ``vetting.unusable``, ``vetting.not_finite`` or ``vetting.unsteady``.
    """
    try:
        manifest = ReleaseManifest.from_bytes(Path(MANIFEST).read_bytes())
        strip = Path(manifest.golden.sha256).read_bytes()
        first = golden_scores(manifest, strip, Pipelines(Path))
        for _round in range(_ROUNDS):  # another interpreter each time
            if not np.array_equal(first, golden_scores(manifest, strip, Pipelines(Path))):
                raise CoordinatorError("vetting.unsteady")
        low, high = manifest.input.value_range
        shape = (1, manifest.input.edge_px, manifest.input.edge_px, 3)
        noise = np.random.default_rng(11).uniform(low, high, shape).astype(np.float32)
        pipelines = Pipelines(Path)
        for pixels in (np.full(shape, low, np.float32), np.full(shape, high, np.float32), noise):
            memo: dict[str, Tensors] = {}
            pipelines.logits(manifest, pixels, memo)
            pipelines.residuals(manifest, pixels, memo)
    except ProtocolError as error:
        raise CoordinatorError("vetting.unusable") from error
    if not np.isfinite(first).all():
        raise CoordinatorError("vetting.not_finite", what="answers")
    return {"scores": first.tolist()}
