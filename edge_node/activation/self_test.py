"""The self-test: this machine must give the publisher's answers for the golden pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import ReleaseRefusedError
from protocols.errors import ProtocolError
from protocols.imaging import open_image, prepare
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Tensors
from protocols.recognition import same_answer, scores


class Runner(Protocol):
    """Runs a release's stages; ``protocols.pipeline.Pipelines`` in the field."""

    def logits(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> NDArray[np.float32]:
        """Logits [labels] for prepared pixels; ``memo`` is shared by the releases that see the same pixels."""
        ...


def golden_scores(manifest: ReleaseManifest, golden: Path, runner: Runner) -> NDArray[np.float64]:
    """Scores [pictures, labels] of the squares that stand side by side in the PNG file ``golden``.

    Raises:
        ProtocolError: the file is not such a strip, or a stage does not run.
    """
    with open_image(golden) as strip:
        strip.load()
        edge, count = strip.height, len(manifest.golden.scores)
        if strip.width != edge * count:
            raise ProtocolError("manifest.malformed", field="golden")
        squares = [strip.crop((i * edge, 0, (i + 1) * edge, edge)) for i in range(count)]
    rows = [runner.logits(manifest, prepare(square, manifest.input), {}) for square in squares]
    return scores(np.stack(rows), manifest.calibration.temperature)


def self_test(manifest: ReleaseManifest, golden: Path, runner: Runner) -> None:
    """Refuse a release that does not prove itself on this machine.

    Raises:
        ReleaseRefusedError: ``release.self_test_failed``.
    """
    try:
        got = golden_scores(manifest, golden, runner)
    except (ProtocolError, OSError) as error:
        raise ReleaseRefusedError("release.self_test_failed", release=manifest.name) from error
    if not same_answer(np.array(manifest.golden.scores), got):
        raise ReleaseRefusedError("release.self_test_failed", release=manifest.name)
