"""A site's own head where it was better there than the shared one: offered as a model version for that site's nodes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.federation import candidate, start
from coordinator.federation.checkpoint import Checkpoints, head_in
from coordinator.federation.jobs import Job
from coordinator.home import Home
from coordinator.intake.datasets import Sample
from coordinator.store.blobs import write_atomically
from protocols.clock import Clock
from protocols.federation.head import Head
from protocols.federation.verdict import Verdict, read_scores_bytes, weigh
from protocols.manifest import ReleaseManifest

FILE = "personal.npz"


def keep(folder: Path, alone: dict[str, Head], verdict: Verdict) -> None:
    """Keep the heads of those sites where their own was better."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"{s}.{k}": value for s in verdict.personal for k, value in alone[s].arrays().items()}
    np.savez(buffer, **arrays)
    write_atomically(folder / FILE, buffer.getvalue())


def make(
    job: Job,
    site: str,
    manifest: ReleaseManifest,
    training: dict[str, Any],
    samples: list[Sample],
    version: int,
    home: Home,
    engine: Engine,
    clock: Clock,
    maps_mb: int,
) -> tuple[ReleaseManifest, dict[str, Any]]:
    """The site's own head as a version. Blocking.

    Raises:
        CoordinatorError: ``federation.not_personal``: none was kept for it; or as ``candidate.make``.
    """
    folder = home.federation / job.id
    state = Checkpoints(folder / "rounds.npz").load()
    try:
        with np.load(io.BytesIO((folder / FILE).read_bytes()), allow_pickle=False) as found:
            head = head_in(found, site)
        scores = read_scores_bytes((folder / "scores.json").read_bytes())
    except (FileNotFoundError, KeyError) as error:
        raise CoordinatorError("federation.not_personal", site=site) from error
    if state is None or head.shape != state.head.shape:
        raise CoordinatorError("federation.not_personal", site=site)
    own, shared = weigh(scores).personal[site]
    report = {"run": job.id, "from": job.model, "personal": {"own": round(own, 4), "global": round(shared, 4)}}
    begun = start.prepare(manifest, training, samples, home, engine, maps_mb)
    return candidate.make(manifest, training, begun, head, state.labels, (own, 1), report, version, home, clock())
