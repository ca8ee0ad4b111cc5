"""Fitting a spatial head to a site's maps: the one file of the edge that knows TensorFlow, and only inside its functions."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.federation.local import Task
from protocols.federation.head import Head, Standard
from protocols.federation.spatial import body_shapes, head_of, weights_of
from protocols.spatial import forward
from protocols.spatial.shape import SpatialShape

_EPOCHS, _EPOCHS_ALONE = 3, 16  # of a round; of a head that the site makes by itself
_BATCH = 32
_LEARNING_RATE = 1e-3
_DROPOUT = 0.3
_SMOOTHING = 0.05
_EVALUATED = 64  # images a forward pass


def is_installed() -> bool:
    """Whether this site has what spatial heads are fitted with."""
    return find_spec("tensorflow") is not None and find_spec("keras") is not None


Record = Mapping[str, tuple[NDArray[np.uint8], NDArray[np.float32]]]  # of one image by layer: levels and scales


@dataclass(frozen=True)
class HeldMaps:
    """Maps in this process's memory (``edge_node.federation.local.Maps``).

    Attributes:
        shape: of the heads that read them.
        images: the maps of each.
    """

    shape: SpatialShape
    images: Sequence[Record]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> HeldMaps:
        return HeldMaps(self.shape, [self.images[int(i)] for i in np.flatnonzero(chosen)])

    def suits(self, head: Head, standard: Standard) -> bool:
        """Whether a head reads such maps."""
        return suits(self.shape, self.images[0][self.shape.maps[0]][0].shape[2], head, standard)

    def fit(
        self, labels: NDArray[np.int64], uses: NDArray[np.bool_], shared: Head, standard: Standard, task: Task
    ) -> Head:
        """See ``edge_node.federation.local.fit``. Needs TensorFlow."""
        import keras
        import tensorflow as tf

        keras.utils.clear_session()  # the last round's graph
        variables = {
            name: keras.Variable(value, dtype="float32", name=name.replace("/", "-"))
            for name, value in weights_of(self.shape, shared).items()
        }
        start = {name: tf.constant(v.numpy()) for name, v in variables.items()}
        optimizer = keras.optimizers.Adam(_LEARNING_RATE)
        optimizer.build(list(variables.values()))
        mean, deviation = self._moments(standard)
        proximity = (
            0.0 if task.alone else task.proximity
        )  # what a site makes by itself is held by nothing but its epochs
        masked = tf.constant(np.where(uses, 0.0, -1e9).astype(np.float32))
        targets = _targets(labels, uses)
        # Batches are weighted so that their mean is the site's loss, whatever their size.
        weights = (task.weights(labels) * len(labels)).astype(np.float32)

        def plain(maps: Any, wanted: Any, weight: Any, seed: Any) -> None:
            values = {name: v.value for name, v in variables.items()}
            with tf.GradientTape() as tape:
                features = forward.pooled(tf, self.shape, values, mean, deviation, maps)
                features = tf.nn.experimental.stateless_dropout(features, _DROPOUT, seed)
                logits = tf.reduce_mean(forward.answer(tf, values, features), axis=0) + masked
                losses = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
                away = tf.add_n([tf.reduce_sum(tf.square(values[n] - start[n])) for n in values])
                loss = tf.reduce_mean(losses * weight) + proximity / 2 * away
            optimizer.apply(tape.gradient(loss, list(values.values())), list(variables.values()))

        step = tf.function(plain, reduce_retracing=True)
        seed = zlib.crc32(shared.flat().tobytes())  # another order in every round, and the same when it is run again
        chance = np.random.default_rng(seed)
        for epoch in range(_EPOCHS_ALONE if task.alone else _EPOCHS):
            order = chance.permutation(len(labels))
            for begin in range(0, len(order), _BATCH):
                some = order[begin : begin + _BATCH]
                filled = np.resize(some, _BATCH)  # of one size, so that the step is traced once
                counting = np.where(np.arange(_BATCH) < len(some), weights[filled], np.float32(0))
                drop = tf.constant([seed % 2**31, epoch * 1_000_000 + begin])
                step(self._batch(filled), tf.constant(targets[filled]), tf.constant(counting), drop)
        return head_of(self.shape, {name: np.asarray(v.numpy(), dtype=np.float32) for name, v in variables.items()})

    def logits(self, head: Head, standard: Standard) -> NDArray[np.float32]:
        """Logits [images, labels]. Needs TensorFlow."""
        import tensorflow as tf

        mean, deviation = self._moments(standard)
        weights = {name: tf.constant(value) for name, value in weights_of(self.shape, head).items()}
        parts = []
        for begin in range(0, len(self), _EVALUATED):
            maps = self._batch(np.arange(begin, min(begin + _EVALUATED, len(self))))
            answers = forward.answer(tf, weights, forward.pooled(tf, self.shape, weights, mean, deviation, maps))
            parts.append(tf.reduce_mean(answers, axis=0).numpy())
        return np.concatenate(parts).astype(np.float32)

    def _batch(self, images: NDArray[np.int64]) -> dict[str, tuple[Any, Any]]:
        found: dict[str, tuple[Any, Any]] = {}
        for layer in self.shape.maps:
            levels, scales = zip(*(self.images[i][layer] for i in images), strict=True)
            found[layer] = np.stack(levels), np.stack(scales)
        return found

    def _moments(self, standard: Standard) -> tuple[dict[str, Any], dict[str, Any]]:
        """Mean and deviation by layer [members, channels], of the coordinates that all sites share."""
        layers, members = self.shape.maps, self.shape.members
        mean, deviation = (
            {str(n): np.tile(v, (members, 1)) for n, v in zip(layers, np.split(values, len(layers)), strict=True)}
            for values in (standard.mean, standard.scale)
        )
        return mean, deviation


def suits(shape: SpatialShape, channels: int, head: Head, standard: Standard) -> bool:
    """Whether a head of ``shape`` reads maps of so many channels."""
    body = {name: value.shape for name, value in head.body.items()}
    return (
        body == body_shapes(shape, channels)
        and head.shape.features == shape.members * shape.features
        and len(standard.mean) == len(shape.maps) * channels
    )


def _targets(labels: NDArray[np.int64], uses: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What the loss aims at, float32 [images, labels]: smoothed over the labels in use alone."""
    spread = np.where(uses, _SMOOTHING / uses.sum(), 0.0)
    return (np.eye(len(uses))[labels] * (1 - _SMOOTHING) + spread).astype(np.float32)


@cache
def prepare() -> None:
    """Set TensorFlow up for a process of its own: quiet, on the CPU, and the same result whenever it is run again."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
