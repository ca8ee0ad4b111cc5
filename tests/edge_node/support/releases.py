"""Releases made up in memory: two tiny real TFLite stages, a manifest that fits them, and the catalogue that lists it.

``data/mean_trunk.tflite`` gives the mean of each colour channel of a 32-pixel image as ``mixed7_avg``;
``data/red_or_blue_head.tflite`` turns that into logits 4 (red - blue) and 4 (blue - red).
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from protocols.artifacts import Artifact
from protocols.imaging import InputSpec
from protocols.manifest import (
    Backbone,
    Calibration,
    Golden,
    Label,
    QualityLimits,
    ReleaseManifest,
    Stage,
)

DATA = Path(__file__).parent.parent / "data"
TRUNK = (DATA / "mean_trunk.tflite").read_bytes()
HEAD = (DATA / "red_or_blue_head.tflite").read_bytes()
SPEC = InputSpec(32, (0.0, 1.0))
RED, BLUE = (220, 30, 30), (30, 30, 220)
LABELS = (Label("red", "malaria", "disease"), Label("blue", "normal-blood-cell", "normal"))


def png(*colours: tuple[int, int, int], edge: int = 32) -> bytes:
    """Squares of plain colours side by side."""
    squares = [np.full((edge, edge, 3), colour, dtype=np.uint8) for colour in colours]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(squares, axis=1)).save(buffer, "PNG")
    return buffer.getvalue()


def expected_scores(colour: tuple[int, int, int]) -> tuple[float, float]:
    """What the two stages give for a plain colour."""
    logits = np.array([4.0, -4.0]) * (colour[0] - colour[2]) / 255
    weights = np.exp(logits - logits.max())
    return float(weights[0] / weights.sum()), float(weights[1] / weights.sum())


@dataclass
class Release:
    """A manifest and the bytes of its artifacts."""

    manifest: ReleaseManifest
    files: dict[str, bytes]
    signer: str = "Simulated hospital"

    @property
    def manifest_bytes(self) -> bytes:
        return self.manifest.to_bytes()

    def listed(self) -> dict[str, Any]:
        manifest = Artifact.of("manifest", self.manifest_bytes)
        return {
            "release": self.manifest.name,
            "disease": self.manifest.disease,
            "model": self.manifest.model,
            "version": self.manifest.version,
            "manifest": {"sha256": manifest.sha256, "size": manifest.size_bytes},
            "signer": self.signer,
            "artifacts": [a.document() for a in self.manifest.artifacts],
        }


def make_release(
    disease: str = "malaria",
    version: int = 1,
    *,
    model: str | None = None,
    labels: tuple[Label, ...] = LABELS,
    trunk: bytes = TRUNK,
    head: bytes = HEAD,
    padding: bytes = b"",
    **changes: Any,
) -> Release:
    """A release whose self-test passes; ``changes`` replace fields of its manifest, ``padding`` makes it bigger."""
    golden = png(RED, BLUE)
    artifacts = [Artifact.of("trunk", trunk), Artifact.of("head", head), Artifact.of("golden", golden)]
    files = {a.sha256: data for a, data in zip(artifacts, (trunk, head, golden), strict=True)}
    if padding:
        artifacts.append(Artifact.of("statistics", padding))
        files[artifacts[-1].sha256] = padding
    manifest = ReleaseManifest(
        disease=disease,
        model=model or disease,
        version=version,
        created="2026-01-31T12:00:00+00:00",
        least_node_version="0.1.0",
        input=SPEC,
        artifacts=tuple(artifacts),
        stages=(Stage(artifacts[0].sha256), Stage(artifacts[1].sha256, ("mixed7_avg",))),
        labels=labels,
        calibration=Calibration(1.0, 0.9, (0.5,) * len(labels)),
        quality=QualityLimits(0.0, 0.0, 1.0),
        golden=Golden(artifacts[2].sha256, (expected_scores(RED), expected_scores(BLUE))),
        backbone=Backbone("random-1", "0" * 64, "none", "made up"),
    )
    return Release(replace(manifest, **changes), files)


@dataclass
class Simulator:
    """A coordinator's published state: it publishes, withdraws, lies and loses things in memory."""

    releases: list[Release] = field(default_factory=list)
    knowledge: tuple[bytes, str] | None = None
    serial: int = 1
    node_url: str = "wss://127.0.0.1:1"
    replaced: dict[str, bytes] = field(default_factory=dict)  # what is sent instead of an artifact
    missing: set[str] = field(default_factory=set)

    def publish(self, *releases: Release) -> None:
        self.releases += releases
        self.serial += 1

    def catalogue(self) -> dict[str, Any]:
        knowledge = None
        if self.knowledge is not None:
            artifact = Artifact.of("kb", self.knowledge[0])
            knowledge = {"sha256": artifact.sha256, "size": artifact.size_bytes, "version": self.knowledge[1]}
        return {
            "serial": self.serial,
            "coordinator": "Simulated coordinator",
            "node_url": self.node_url,
            "kb": knowledge,
            "releases": [release.listed() for release in self.releases],
        }

    def artifact(self, sha256: str) -> bytes | None:
        """What is sent for a digest; None: not found."""
        if sha256 in self.missing:
            return None
        if sha256 in self.replaced:
            return self.replaced[sha256]
        held: dict[str, bytes] = {}
        for release in self.releases:
            held |= {**release.files, Artifact.of("manifest", release.manifest_bytes).sha256: release.manifest_bytes}
        if self.knowledge is not None:
            held[Artifact.of("kb", self.knowledge[0]).sha256] = self.knowledge[0]
        return held.get(sha256)
