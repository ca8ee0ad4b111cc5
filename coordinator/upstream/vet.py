"""A foreign release is vetted like any stranger's model, whoever signed it: statically, then on pictures in the sandbox.

Its stages are not written anew, since a node must get the bytes that the origin signed; so what a file holds beside its graph
reaches LiteRT, first in the sandbox. A stage that a model of our own has, byte for byte, is read no second time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.errors import CoordinatorError
from coordinator.upstream import trial
from coordinator.vetting import allowlist, network
from coordinator.vetting.allowlist import Limits
from coordinator.vetting.confine import Rights
from coordinator.vetting.quarantine import quarantined
from coordinator.vetting.sandbox import Bounds, Sandbox
from protocols.manifest import ReleaseManifest
from protocols.recognition import same_answer

_BOUNDS = Bounds(180, Rights(memory_mb=2048, cpu_s=180))


def vet(
    manifest: ReleaseManifest,
    signed: bytes,
    files: Mapping[str, Path],
    known: Collection[str],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Examine a release. Blocking; stores nothing.

    Args:
        manifest: the origin's.
        signed: its bytes.
        files: its files by digest, verified.
        known: digests of stages that our own models have.
        folder: the home's place for what is vetted.
        progress: steps done, and all.

    Returns:
        What was checked, and under which protections.

    Raises:
        CoordinatorError: ``vetting.*``, or ``upstream.other_answers`` where the golden pictures do not give the origin's scores.
    """
    stages = list(dict.fromkeys(stage.sha256 for stage in manifest.stages))
    fresh = [sha256 for sha256 in stages if sha256 not in known]
    for done, sha256 in enumerate(fresh):
        progress(done, len(fresh) + 1)
        size = files[sha256].stat().st_size
        if size > Limits().file_bytes:
            limit = Limits().file_bytes
            raise CoordinatorError("vetting.too_large", file=sha256[:12], found=size, limit=limit)
        allowlist.check_sound(network.read(files[sha256].read_bytes()), Limits())
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / trial.MANIFEST
        file.write_bytes(signed)
        with quarantined(folder, file, len(signed)) as brought, Sandbox() as sandbox:
            room = brought.room("release")
            shutil.copyfile(brought.path, room / trial.MANIFEST)
            for artifact in (*manifest.needed_to_run, manifest.artifact(manifest.golden.sha256)):
                shutil.copyfile(files[artifact.sha256], room / artifact.sha256)
            for copy in room.iterdir():
                copy.chmod(0o444)
            tried = sandbox.run("coordinator.upstream.trial:try_release", {}, room, _BOUNDS)
    progress(len(fresh) + 1, len(fresh) + 1)
    _compare(manifest, tried.result)
    return {"stages": stages, "read": fresh, "known": [s for s in stages if s not in fresh], "sandbox": tried.sandbox}


def _compare(manifest: ReleaseManifest, result: Any) -> None:
    """Read an answer that nobody vouches for, and compare."""
    expected = np.array(manifest.golden.scores)
    match result:
        case {"scores": [*rows]} if all(isinstance(row, list) and all(type(x) is float for x in row) for row in rows):
            try:
                got = np.array(rows, dtype=np.float64)
            except ValueError as error:
                raise CoordinatorError("vetting.nonsense") from error
            if not same_answer(expected, got):
                raise CoordinatorError("upstream.other_answers", release=manifest.name)
            return
    raise CoordinatorError("vetting.nonsense")
