"""Releases made up in memory: two tiny real TFLite stages, a manifest that fits them, and the coordinator that signs it.

``data/mean_trunk.tflite`` gives the mean of each colour channel of a 32-pixel image as ``mixed7_avg``, and of each square of 8
pixels as ``mixed7_map`` [1, 4, 4, 3]; ``data/red_or_blue_head.tflite`` turns the former into logits 4 (red - blue) and
4 (blue - red).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from disease_kb import replica
from protocols.artifacts import Artifact, canonical_json
from protocols.chunks import CHUNK_BYTES
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
from protocols.trust import ModelRollout, Offer, Revocation, Rollout
from tests.edge_node.support.repository import Repository

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


def chunked(role: str, data: bytes) -> tuple[Artifact, dict[str, bytes]]:
    """An artifact with its chunk list, and the files that the coordinator has of it."""
    pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    listed = b"".join(hashlib.sha256(piece).digest() for piece in pieces)
    artifact = Artifact.of(role, data)
    if len(pieces) == 1:
        return artifact, {artifact.sha256: data}
    digest = hashlib.sha256(listed).hexdigest()
    return replace(artifact, chunks=digest), {artifact.sha256: data, digest: listed}


@dataclass
class Release:
    """A manifest and the bytes of its artifacts."""

    manifest: ReleaseManifest
    files: dict[str, bytes]

    @property
    def manifest_bytes(self) -> bytes:
        return self.manifest.to_bytes()


def make_release(
    disease: str = "malaria",
    version: int = 1,
    *,
    model: str | None = None,
    labels: tuple[Label, ...] = LABELS,
    trunk: bytes = TRUNK,
    head: bytes = HEAD,
    padding: bytes = b"",
    in_chunks: bool = False,
    **changes: Any,
) -> Release:
    """A release whose self-test passes; ``changes`` replace fields of its manifest, ``padding`` makes it bigger,
    with a chunk list where it is ``in_chunks``.
    """
    golden = png(RED, BLUE)
    artifacts = [Artifact.of("trunk", trunk), Artifact.of("head", head), Artifact.of("golden", golden)]
    files = {a.sha256: data for a, data in zip(artifacts, (trunk, head, golden), strict=True)}
    if padding:
        artifact, its_files = chunked("statistics", padding)
        artifacts.append(artifact if in_chunks else replace(artifact, chunks=None))
        files |= its_files
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
        calibration=Calibration(1.0, 0.9, (0.5,) * len(labels), (0.0,) * len(labels)),
        quality=QualityLimits(0.0, 0.0, 1.0, 0.0, 1.0),
        novelty=None,
        golden=Golden(artifacts[2].sha256, (expected_scores(RED), expected_scores(BLUE))),
        backbone=Backbone("random-1", "0" * 64, "none", "made up"),
    )
    return Release(replace(manifest, **changes), files)


@dataclass
class Simulator:
    """A coordinator's published state: it publishes, pauses, revokes, lies and loses things in memory.

    The signed repository follows the fields whenever a node looks; ``frozen`` serves a former state instead.
    """

    releases: list[Release] = field(default_factory=list)
    knowledge: tuple[bytes, str] | None = None
    former_knowledge: list[bytes] = field(default_factory=list)  # replicas that patches are offered from
    serial: int = 1
    node_url: str = ""  # empty: where the simulated gateway listens
    threshold: int = 1
    offers: dict[str, tuple[Offer, ...]] = field(default_factory=dict)  # by model; else every version, newest first
    paused: set[str] = field(default_factory=set)
    revoked: dict[str, str] = field(default_factory=dict)
    revoked_nodes: list[str] = field(default_factory=list)
    replaced: dict[str, bytes] = field(default_factory=dict)  # what is sent instead of an artifact
    missing: set[str] = field(default_factory=set)
    frozen: dict[str, bytes] | None = None
    dishonest: set[str] = field(default_factory=set)  # releases that the approvers never sign

    def __post_init__(self) -> None:
        self.repository = Repository(self.threshold)
        self._rollout = b""
        self._manifests: dict[str, bytes] = {}
        self._knowledge: list[bytes] = []

    def publish(self, *releases: Release) -> None:
        self.releases += releases

    def rollout(self) -> Rollout:
        versions: dict[tuple[str, str], list[int]] = {}
        for release in self.releases:
            key = (release.manifest.disease, release.manifest.model)
            versions.setdefault(key, []).append(release.manifest.version)
        models = tuple(
            ModelRollout(
                disease,
                model,
                self.offers.get(model, tuple(Offer(f"{model}@{v}", 100) for v in sorted(numbers, reverse=True))),
                model in self.paused,
            )
            for (disease, model), numbers in versions.items()
        )
        return Rollout(
            serial=self.serial,
            coordinator="Simulated coordinator",
            knowledge=f"kb@{len(self._knowledge)}" if self.knowledge else None,
            models=models,
            revoked=tuple(Revocation(*item) for item in self.revoked.items()),
            revoked_nodes=tuple(self.revoked_nodes),
        )

    def update(self) -> None:
        """Bring the repository up to the fields."""
        for release in self.releases:
            name, data = release.manifest.name, release.manifest_bytes
            if name not in self.dishonest and self._manifests.get(name) != data:
                self.repository.approve(release.manifest.disease, name, data)
                self._manifests[name] = data
        if self.knowledge is not None and self._describe(self.knowledge) not in self._knowledge[-1:]:
            self._knowledge.append(self._describe(self.knowledge))
            self.repository.approve("kb", f"kb@{len(self._knowledge)}", self._knowledge[-1])
        if self.rollout().to_bytes() != self._rollout:
            if self._rollout:
                self.serial += 1
            self._rollout = self.rollout().to_bytes()
            self.repository.set_rollout(self._rollout)
            self.repository.publish()

    def _describe(self, knowledge: tuple[bytes, str]) -> bytes:
        artifact = Artifact.of("kb", knowledge[0])
        patches = [
            {"from": Artifact.of("kb", old).sha256, **Artifact.of("kb-patch", change).document()}
            for old, change in self._patches()
        ]
        return canonical_json(
            {"format": "medmesh.kb/1", "version": knowledge[1], "artifact": artifact.document(), "patches": patches}
        )

    def _patches(self) -> list[tuple[bytes, bytes]]:
        if self.knowledge is None:
            return []
        return [(old, replica.patch(old, self.knowledge[0])) for old in self.former_knowledge]

    def published(self, path: str) -> bytes | None:
        """A file of the signed repository; None: not found."""
        if self.frozen is not None:
            return self.frozen.get(path)
        if path.endswith("timestamp.json"):
            self.update()
        return self.repository.files.get(path)

    def artifact(self, sha256: str) -> bytes | None:
        """What is sent for a digest; None: not found."""
        if sha256 in self.missing:
            return None
        if sha256 in self.replaced:
            return self.replaced[sha256]
        held: dict[str, bytes] = {}
        for release in self.releases:
            held |= release.files
        if self.knowledge is not None:
            held[Artifact.of("kb", self.knowledge[0]).sha256] = self.knowledge[0]
        held |= {Artifact.of("kb-patch", change).sha256: change for _, change in self._patches()}
        return held.get(sha256)
