"""From what the ladder came to, to the manifest that is released: calibration, limits, golden answers, figures."""

from __future__ import annotations

from dataclasses import replace

from coordinator.store.blobs import FolderBlobs
from coordinator.store.described import described
from coordinator.training import figures, golden, novelty
from coordinator.training.calibration import calibrate, calibration_methods, quality_limits, quality_method
from coordinator.training.ladder.ascent import Seen
from coordinator.training.ladder.report import Outcome
from coordinator.training.plan import Plan
from coordinator.training.table import know
from protocols.artifacts import Artifact
from protocols.imaging import Quality
from protocols.manifest import Golden, NoveltyLimits, ReleaseManifest, Stage
from protocols.pipeline import Pipelines
from protocols.selftest import golden_scores

LEAST_NODE_VERSION = "0.1.0"


def make(
    plan: Plan, seen: Seen, outcome: Outcome, degraded: list[dict[str, Quality]], artifacts: FolderBlobs
) -> ReleaseManifest:
    """The manifest of a trained head; head, novelty statistics and golden inputs are stored.

    Args:
        plan: what was trained.
        seen: what the shipped backbone made of the data set.
        outcome: of the ladder.
        degraded: quality of degraded copies of some images.
        artifacts: where to store.
    """
    trunk, data, extraction, head = seen.trunk, seen.data, seen.extraction, outcome.head.exported
    strip = golden.strip()
    statistics, limits = know(data, extraction)
    head_artifact, golden_artifact = Artifact.of("head", head.data), Artifact.of("golden", strip)
    novelty_artifact = Artifact.of("novelty", statistics)
    for content in (head.data, strip, statistics):
        artifacts.put(content)
    logits = outcome.held_out.logits
    calibration = calibrate(logits, data.labels, data.groups)
    groups = len(set(data.groups.tolist()))
    manifest = ReleaseManifest(
        disease=plan.disease,
        model=plan.dataset,
        version=plan.version,
        created=plan.now.isoformat(timespec="seconds"),
        least_node_version=LEAST_NODE_VERSION,
        input=trunk.trunk.spec,
        artifacts=(
            described("trunk", trunk.trunk.sha256, artifacts),
            head_artifact,
            novelty_artifact,
            golden_artifact,
        ),
        stages=(Stage(trunk.trunk.sha256), Stage(head_artifact.sha256, head.inputs)),
        labels=tuple(plan.labels),
        calibration=calibration,
        quality=quality_limits(extraction.quality, degraded),
        novelty=NoveltyLimits(
            novelty_artifact.sha256,
            novelty.TAPS,
            round(limits.familiar, 6),
            round(limits.foreign, 6),
            round(limits.layout, 6),
        ),
        golden=Golden(golden_artifact.sha256, ((0.0,) * len(plan.labels),)),
        backbone=trunk.backbone,
        metrics=figures.figures(data.labels, data.groups, logits, calibration, [x.label for x in plan.labels]),
        data={"dataset": plan.dataset, "images": len(plan.samples), "groups": groups},
        methods={
            **calibration_methods(len(plan.samples), groups),
            **novelty.methods(len(data.source)),
            "quality": quality_method(len(degraded)),
        },
    )
    expected = golden_scores(manifest, strip, Pipelines(artifacts.path))
    rows = tuple(tuple(round(float(x), 6) for x in row) for row in expected)
    return replace(manifest, golden=Golden(golden_artifact.sha256, rows))
