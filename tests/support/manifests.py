"""A manifest that is right in every field, for tests to read, change and break."""

from __future__ import annotations

from protocols.artifacts import Artifact
from protocols.imaging import InputSpec
from protocols.manifest import (
    Backbone,
    Calibration,
    Golden,
    Label,
    NoveltyLimits,
    QualityLimits,
    ReleaseManifest,
    Stage,
)

TRUNK, HEAD, GOLDEN, NOVELTY = "a" * 64, "b" * 64, "c" * 64, "e" * 64


def example(model: str = "malaria", version: int = 1) -> ReleaseManifest:
    """A two-class release on a trunk and a head."""
    return ReleaseManifest(
        disease="malaria",
        model=model,
        version=version,
        created="2026-01-02T03:04:05+00:00",
        least_node_version="0.1.0",
        input=InputSpec(75, (-1.0, 1.0)),
        artifacts=(
            Artifact("trunk", TRUNK, 1000),
            Artifact("head", HEAD, 100),
            Artifact("novelty", NOVELTY, 70),
            Artifact("golden", GOLDEN, 50),
        ),
        stages=(Stage(TRUNK), Stage(HEAD, ("mixed7_avg",))),
        labels=(Label("parasitized", "malaria", "disease"), Label("uninfected", "normal-blood-cell", "normal")),
        calibration=Calibration(1.5, 0.9, (0.4, 0.6), (0.0, 0.0)),
        quality=QualityLimits(2.0, 0.1, 0.9, 0.2, 0.3),
        novelty=NoveltyLimits(NOVELTY, ("mixed7_avg",), 1.5, 4.0, 2.0),
        golden=Golden(GOLDEN, ((0.25, 0.75), (0.9, 0.1))),
        backbone=Backbone("random-1", "d" * 64, "none", "random weights"),
    )
