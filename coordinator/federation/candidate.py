"""The result as a model version like any other: a head file, converted and compared as training does it, and its figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from coordinator.federation.start import Start
from coordinator.home import Home
from coordinator.store.blobs import FolderBlobs
from protocols.artifacts import Artifact
from protocols.federation.head import Head
from protocols.manifest import Golden, Label, ReleaseManifest, Stage
from protocols.pipeline import Pipelines
from protocols.selftest import golden_scores


def make(
    manifest: ReleaseManifest,
    training: dict[str, Any],
    start: Start,
    head: Head,
    labels: tuple[str, ...],
    stated: tuple[float, int] | None,
    report: dict[str, Any],
    version: int,
    home: Home,
    now: datetime,
) -> tuple[ReleaseManifest, dict[str, Any]]:
    """Manifest and training record of the new version; its artifacts are stored. Blocking: a conversion takes seconds.

    ``stated`` is the balanced accuracy on what sites held out, and how many sites; None: none could tell.

    The calibration is the start's: nobody has seen the sites' scores. The card says so, and ``recalibrate`` fits it to a site.

    Raises:
        CoordinatorError: ``train.conversion_failed`` or ``train.conversion_unsteady``.
    """
    artifacts = FolderBlobs(home.artifacts)
    encoded = start.encode(head, labels)
    exported = encoded.head
    head_artifact = Artifact.of("head", exported.data)
    artifacts.put(exported.data)
    old = manifest.stages[1]
    added = labels[len(manifest.labels) :]
    calibration = replace(
        manifest.calibration,
        thresholds=(*manifest.calibration.thresholds, *[1.0] * len(added)),
        bias=(*manifest.calibration.bias, *[0.0] * len(added)),
    )
    value, sites = stated or (0.0, 0)
    figures = {
        "method": f"federated: stated by {sites} site(s) on images that they held out",
        "balanced_accuracy": {"value": round(value, 4), "low": None, "high": None},
    }
    new = replace(
        manifest,
        version=version,
        created=now.isoformat(timespec="seconds"),
        artifacts=(*(a for a in manifest.artifacts if a.sha256 != old.sha256), head_artifact),
        stages=(manifest.stages[0], Stage(head_artifact.sha256, old.inputs)),
        labels=(*manifest.labels, *(Label(label, None, "disease") for label in added)),
        calibration=calibration,
        metrics=figures,
        data={**manifest.data, "federated": report},
        methods={
            **manifest.methods,
            **{name: {"method": "kept_from_start", "start": manifest.name} for name in ("temperature", "thresholds")},
        },
        golden=Golden(manifest.golden.sha256, ((0.0,) * len(labels),)),
    )
    strip = artifacts.path(new.golden.sha256).read_bytes()
    rows = golden_scores(new, strip, Pipelines(artifacts.path))
    golden = Golden(new.golden.sha256, tuple(tuple(round(float(x), 6) for x in row) for row in rows))
    record = {
        **{k: v for k, v in training.items() if k not in ("out_of_fold", "recalibrated", "seconds")},
        "version": version,
        "head_weights": exported.encoding.name,
        "parity": exported.parity,
        **encoded.record,
        "metrics": figures,
        "federated": report,
        "artifacts": [a.document() for a in new.artifacts],
    }
    return replace(new, golden=golden), record
