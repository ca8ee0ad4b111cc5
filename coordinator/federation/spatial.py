"""Where a run on a spatial head starts, and what becomes of its result: float weights, kept at training, and maps."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.federation.start import Encoded, Start
from coordinator.home import Home
from coordinator.intake.datasets import Sample
from coordinator.store.blobs import FolderBlobs
from coordinator.training import convert
from coordinator.training.features import FeatureCache, Trunk, map_shapes
from coordinator.training.ladder import spatial as rungs
from coordinator.training.spatial import folding
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.folding import Moments
from coordinator.training.spatial.maps import MapCache, Maps
from coordinator.training.spatial.training import converted
from protocols.federation.head import Head, Standard
from protocols.federation.spatial import head_of, weights_of
from protocols.federation.task import Subject
from protocols.manifest import ReleaseManifest
from protocols.spatial.shape import SpatialShape


def prepare(
    manifest: ReleaseManifest,
    training: dict[str, Any],
    samples: Sequence[Sample],
    home: Home,
    engine: Engine,
    maps_mb: int,
) -> Start:
    """See ``start.prepare``. The images' maps are computed where they are not cached, so that the result can be compared.

    Raises:
        CoordinatorError: ``federation.no_weights`` or ``train.spatial_no_room``.
    """
    config = SpatialConfig.from_document(training["spatial"])
    weights, known = _kept(home, training["spatial_weights"], manifest.name)
    artifacts, images = FolderBlobs(home.artifacts), FolderBlobs(home.images)
    sha256 = manifest.stages[0].sha256
    trunk = Trunk(artifacts.path(sha256), sha256, manifest.input, convert.TAPS)
    files = [(s.sha256, images.path(s.sha256)) for s in samples]

    def maps() -> Maps:
        store = MapCache(home.maps, maps_mb * 1_000_000).store(sha256, map_shapes(trunk, config.maps))
        FeatureCache(home.features).extract(files, trunk, engine, lambda done, total: None, 0, store)
        return store.maps([s.sha256 for s in samples])

    def encode(head: Head, labels: tuple[str, ...]) -> Encoded:
        refined = folding.folded(config, weights_of(config, head), shared)
        own = maps()  # again: a long run's cache may have been needed for something else
        with tempfile.TemporaryDirectory() as folder:
            fit = converted(own, config, refined, shared, Path(folder))
            exported = rungs.export(fit, own, list(labels))
            kept = FolderBlobs(home.weights).put(fit.folded.read_bytes())
        return Encoded(exported, {"spatial_weights": kept})

    maps()
    standard = coordinates(config, known)
    shared = moments(config, standard)
    return Start(
        Subject.of_maps(manifest.disease, sha256, config.plain),
        tuple(x.label for x in manifest.labels),
        head_of(config, folding.unfolded(config, weights, shared)),
        standard,
        encode,
    )


def _kept(home: Home, sha256: str, name: str) -> tuple[folding.Arrays, Moments]:
    try:
        data = FolderBlobs(home.weights).path(sha256).read_bytes()
    except OSError as error:
        raise CoordinatorError("federation.no_weights", model=name) from error
    if hashlib.sha256(data).hexdigest() != sha256:  # damaged
        raise CoordinatorError("federation.no_weights", model=name)
    return folding.read(io.BytesIO(data))


def coordinates(shape: SpatialShape, known: Moments) -> Standard:
    """The moments as they travel, layer by layer; all members were fitted on the same images."""
    mean, scale = (
        np.concatenate([kept[layer][0] for layer in shape.maps]).astype(np.float16).astype(np.float32)
        for kept in (known.mean, known.deviation)
    )
    return Standard(mean, scale)


def moments(shape: SpatialShape, standard: Standard) -> Moments:
    """The moments that ``coordinates`` gave, rounded as everybody has them."""
    mean, deviation = (
        {
            str(layer): np.tile(part, (shape.members, 1))
            for layer, part in zip(shape.maps, np.split(values, len(shape.maps)), strict=True)
        }
        for values in (standard.mean, standard.scale)
    )
    return Moments(mean, deviation)
