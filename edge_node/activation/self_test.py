"""The self-test: this machine must give the publisher's answers for the golden pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import ReleaseRefusedError
from edge_node.worker.errors import ModelDiedError
from protocols.errors import ProtocolError
from protocols.manifest import ReleaseManifest
from protocols.recognition import same_answer


class Examinee(Protocol):
    """Runs a release on its golden pictures; ``edge_node.worker.client.WorkerModels`` in the field."""

    def golden_scores(self, manifest: ReleaseManifest, strip: Path) -> NDArray[np.float64]:
        """Scores [pictures, labels].

        Raises:
            ProtocolError: the strip is malformed or a stage cannot be run.
            ModelDiedError: the release took its process along.
        """
        ...


def self_test(manifest: ReleaseManifest, golden: Path, models: Examinee) -> None:
    """Refuse a release that does not prove itself on this machine. Blocking.

    Raises:
        ReleaseRefusedError: ``release.self_test_failed``, or ``worker.self_test_crashed`` where it ended the process.
    """
    try:
        got = models.golden_scores(manifest, golden)
    except ModelDiedError as died:
        raise ReleaseRefusedError("worker.self_test_crashed", release=manifest.name, problem=died.problem) from died
    except ProtocolError as error:
        raise ReleaseRefusedError("release.self_test_failed", release=manifest.name) from error
    if not same_answer(np.array(manifest.golden.scores), got):
        raise ReleaseRefusedError("release.self_test_failed", release=manifest.name)
