"""Where a run starts: the released head as float weights, in coordinates from the images that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake.datasets import Sample
from coordinator.store.blobs import FolderBlobs
from coordinator.training import convert, export
from coordinator.training.export import Exported
from coordinator.training.features import FeatureCache, Trunk
from coordinator.training.linear import LinearHead
from protocols import explanation
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject
from protocols.manifest import ReleaseManifest
from protocols.pipeline import LOGITS, StageRunner


@dataclass(frozen=True)
class Encoded:
    """A refined head as nodes get it, and what the training record says of it beside."""

    head: Exported
    record: dict[str, Any]


@dataclass(frozen=True)
class Start:
    """What is refined.

    Attributes:
        subject: whose images are asked for.
        labels: of the model, in order.
        head: in shared coordinates.
        standard: the shared coordinates.
        encode: a refined head and its labels, converted and compared on the coordinator's own training images. Blocking.
    """

    subject: Subject
    labels: tuple[str, ...]
    head: Head
    standard: Standard
    encode: Callable[[Head, tuple[str, ...]], Encoded]


def check(manifest: ReleaseManifest, training: dict[str, Any]) -> None:
    """Refuse at once what ``prepare`` would refuse later: a model that is not a head on a trunk of ours, or a joined one.

    Raises:
        CoordinatorError: ``federation.not_ours``, ``…joined`` or ``…no_weights``.
    """
    if manifest.backbone is None or len(manifest.stages) != 2:
        raise CoordinatorError("federation.not_ours", model=manifest.name)
    maps = {name for name in manifest.stages[1].inputs if name.endswith("_map")}
    if maps and maps != set(manifest.stages[1].inputs):
        raise CoordinatorError("federation.joined", model=manifest.name)
    if maps and not training.get("spatial_weights"):
        raise CoordinatorError("federation.no_weights", model=manifest.name)


def prepare(
    manifest: ReleaseManifest,
    training: dict[str, Any],
    samples: Sequence[Sample],
    home: Home,
    engine: Engine,
    maps_mb: int,
) -> Start:
    """Where a run on this model starts. Blocking.

    Raises:
        CoordinatorError: as ``check``; ``federation.no_training_images``: its data set is gone, so that nobody knows in which
            coordinates its sites should meet, nor what to compare the result on; ``train.spatial_no_room``.
    """
    check(manifest, training)
    if not samples:
        raise CoordinatorError("federation.no_training_images", model=manifest.name)
    if training.get("spatial_weights"):
        from coordinator.federation import spatial

        return spatial.prepare(manifest, training, samples, home, engine, maps_mb)
    return _linear(manifest, samples, home, engine)


def _linear(manifest: ReleaseManifest, samples: Sequence[Sample], home: Home, engine: Engine) -> Start:
    """Read a linear head off its file."""
    artifacts = FolderBlobs(home.artifacts)
    trunk, stage = manifest.stages
    runner = StageRunner(artifacts.path(stage.sha256))
    flat = all(len(shape) == 2 for shape in runner.inputs.values())
    channels = {name: int(shape[1]) for name, shape in runner.inputs.items()} if flat else {}
    found = explanation.read_linear_map(lambda x: runner.run(x)[LOGITS], channels) if flat else None
    if found is None or LOGITS not in runner.outputs or set(channels) != set(stage.inputs):
        raise CoordinatorError("federation.not_ours", model=manifest.name)
    images = FolderBlobs(home.images)
    extraction = FeatureCache(home.features).extract(
        [(s.sha256, images.path(s.sha256)) for s in samples],
        Trunk(artifacts.path(trunk.sha256), trunk.sha256, manifest.input, convert.TAPS),
        engine,
        lambda done, total: None,
    )
    taps = {t: extraction.taps[t] for t in stage.inputs}
    standard = Standard.of(np.concatenate([taps[t] for t in stage.inputs], axis=1))
    weights = np.concatenate([found.weights[t] for t in stage.inputs])
    subject = Subject(manifest.disease, trunk.sha256, tuple(stage.inputs))

    def encode(head: Head, labels: tuple[str, ...]) -> Encoded:
        plain = LinearHead(*standard.plain(head))
        return Encoded(export.linear(plain, subject.taps, taps, list(labels)), {})

    return Start(
        subject,
        tuple(x.label for x in manifest.labels),
        standard.standardised(weights, found.bias),
        standard,
        encode,
    )
