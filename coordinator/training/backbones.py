"""Backbone ids: which frozen InceptionV3 a model stands on, where its weights come from and what range they expect.

TensorFlow is imported only inside ``build``; everything else may be used by a process that must stay small.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.training import nsfwjs
from protocols.artifacts import sha256_file
from protocols.imaging import InputSpec

_RANDOM = re.compile(r"random-(\d{1,9})")


@dataclass(frozen=True)
class BackboneId:
    """A parsed backbone id.

    Attributes:
        name: as the user wrote it, and as it stands in manifests (a file is named by its digest there).
        kind: imagenet | file | nsfwjs | random.
        spec: edge and value range of its input.
    """

    name: str
    kind: str
    spec: InputSpec
    licence: str
    source: str
    seed: int = 0
    path: Path | None = None


def parse(name: str) -> BackboneId:
    """Understand ``imagenet``, ``nsfwjs-4.4.0``, ``file:PATH`` or ``random-SEED``.

    Raises:
        CoordinatorError: ``backbone.unknown``, or ``file.not_found`` for ``file:``.
    """
    if name == "imagenet":
        return BackboneId(
            name,
            "imagenet",
            InputSpec(299, (-1.0, 1.0)),
            "Apache-2.0 (Keras Applications); trained on ImageNet, research terms",
            "Keras Applications InceptionV3, ImageNet weights",
        )
    if name == nsfwjs.BACKBONE_ID:
        return BackboneId(name, "nsfwjs", InputSpec(299, (0.0, 1.0)), "MIT", f"npm package nsfwjs {nsfwjs.VERSION}")
    if name.startswith("file:"):
        path = Path(name.removeprefix("file:")).expanduser()
        if not path.is_file():
            raise CoordinatorError("file.not_found", path=path)
        digest = sha256_file(path)
        return BackboneId(
            f"file:{digest[:16]}",
            "file",
            InputSpec(299, (-1.0, 1.0)),
            "as stated by whoever supplied the file",
            "weights file supplied by the coordinator",
            path=path,
        )
    if found := _RANDOM.fullmatch(name):
        return BackboneId(
            name, "random", InputSpec(75, (-1.0, 1.0)), "none", "random weights, for wiring tests", seed=int(found[1])
        )
    raise CoordinatorError("backbone.unknown", name=name)


def build(backbone: BackboneId, cache: Path) -> tuple[Any, str]:
    """Build the frozen network.

    Args:
        backbone: which one.
        cache: folder where fetched weights are kept.

    Returns:
        A ``keras.Model`` from ``image`` [batch, edge, edge, 3] to its last map, and the SHA-256 of its weights.

    Raises:
        CoordinatorError: ``backbone.unreachable`` or ``backbone.bad_weights``.
    """
    import keras

    keras.backend.clear_session()  # else layer names, and with them the converted bytes, depend on what ran before
    if backbone.kind == "random":
        keras.utils.set_random_seed(backbone.seed)
    edge = backbone.spec.edge_px
    image = keras.Input((edge, edge, 3), name="image")
    weights = "imagenet" if backbone.kind == "imagenet" else None
    try:
        model = keras.applications.InceptionV3(include_top=False, weights=weights, input_tensor=image)
    except Exception as error:
        if weights is None:
            raise
        raise CoordinatorError("backbone.unreachable", name=backbone.name) from error
    if backbone.kind == "file":
        assert backbone.path is not None
        try:
            model.load_weights(backbone.path)
        except Exception as error:  # h5py, Keras and zipfile each raise kinds of their own
            raise CoordinatorError("backbone.bad_weights", name=backbone.path.name) from error
    if backbone.kind == "nsfwjs":
        nsfwjs.load_into(model, cache)
    if backbone.kind == "random":
        _spread(model, backbone.seed)
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return model, digest.hexdigest()


def _spread(model: Any, seed: int) -> None:
    """Give random batch normalisation its statistics, else 94 random layers shrink every picture to the same output."""
    import numpy as np

    edge = model.input_shape[1]
    images = np.random.default_rng(seed).uniform(-1, 1, (8, edge, edge, 3)).astype("float32")
    for layer in model.layers:
        if layer.name.startswith("batch_normalization"):
            layer.momentum = 0.0
    model(images, training=True)
