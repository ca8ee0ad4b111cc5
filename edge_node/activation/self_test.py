"""The self-test: this machine must give the publisher's answers for the golden pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_node.errors import ReleaseRefusedError
from protocols.errors import ProtocolError
from protocols.manifest import ReleaseManifest
from protocols.recognition import same_answer
from protocols.selftest import Runner, golden_scores


def self_test(manifest: ReleaseManifest, golden: Path, runner: Runner) -> None:
    """Refuse a release that does not prove itself on this machine. Blocking.

    Raises:
        ReleaseRefusedError: ``release.self_test_failed``.
    """
    try:
        got = golden_scores(manifest, golden.read_bytes(), runner)
    except ProtocolError as error:
        raise ReleaseRefusedError("release.self_test_failed", release=manifest.name) from error
    if not same_answer(np.array(manifest.golden.scores), got):
        raise ReleaseRefusedError("release.self_test_failed", release=manifest.name)
