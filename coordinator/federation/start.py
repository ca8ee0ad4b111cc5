"""Where a run starts: the released head as float weights, in coordinates from the images that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake.datasets import Sample
from coordinator.store.blobs import FolderBlobs
from coordinator.training import convert
from coordinator.training.features import FeatureCache, Trunk
from protocols import explanation
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject
from protocols.manifest import ReleaseManifest
from protocols.pipeline import LOGITS, StageRunner


@dataclass(frozen=True)
class Start:
    """What is refined.

    Attributes:
        subject: whose images are asked for.
        labels: of the model, in order.
        head: in shared coordinates.
        standard: the shared coordinates.
        taps: name -> float32 [images, channels] of the coordinator's own training images, to test the result's file with.
    """

    subject: Subject
    labels: tuple[str, ...]
    head: Head
    standard: Standard
    taps: dict[str, NDArray[np.float32]]


def check(manifest: ReleaseManifest) -> None:
    """Refuse at once what ``prepare`` would refuse later: a model that is not a head on pooled features of a trunk of ours.

    Raises:
        CoordinatorError: ``federation.not_linear``.
    """
    if (
        manifest.backbone is None
        or len(manifest.stages) != 2
        or any(n.endswith("_map") for n in manifest.stages[1].inputs)
    ):
        raise CoordinatorError("federation.not_linear", model=manifest.name)


def prepare(manifest: ReleaseManifest, samples: Sequence[Sample], home: Home, engine: Engine) -> Start:
    """Read a linear head off its file. Blocking.

    Raises:
        CoordinatorError: ``federation.not_linear``: another kind of model; ``federation.no_training_images``: its data set is
            gone, so that nobody knows in which coordinates its sites should meet.
    """
    artifacts = FolderBlobs(home.artifacts)
    check(manifest)
    if not samples:
        raise CoordinatorError("federation.no_training_images", model=manifest.name)
    trunk, stage = manifest.stages
    runner = StageRunner(artifacts.path(stage.sha256))
    flat = all(len(shape) == 2 for shape in runner.inputs.values())
    channels = {name: int(shape[1]) for name, shape in runner.inputs.items()} if flat else {}
    found = explanation.read_linear_map(lambda x: runner.run(x)[LOGITS], channels) if flat else None
    if found is None or LOGITS not in runner.outputs or set(channels) != set(stage.inputs):
        raise CoordinatorError("federation.not_linear", model=manifest.name)
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
    return Start(
        Subject(manifest.disease, trunk.sha256, tuple(stage.inputs)),
        tuple(x.label for x in manifest.labels),
        standard.standardised(weights, found.bias),
        standard,
        taps,
    )
