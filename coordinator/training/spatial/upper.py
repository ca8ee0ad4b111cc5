"""The float network above ``mixed7``, trained on from cached maps: nothing below is run again. Only children import this.

Batch normalisation keeps the statistics and shifts that it was pretrained with: batches of a few dozen images of one disease
would spoil them, and what is taught would depend on who shares a batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from coordinator.training import backbones
from coordinator.training.spatial.job import Run
from coordinator.training.spatial.maps import MapReader
from coordinator.training.spatial.network import EVALUATED, schedule
from coordinator.training.spatial.teacher import TeacherConfig

_ANSWER_SPEED = 10.0  # the answer is new where all else is pretrained: it learns so many times faster


class Upper:
    """One network in training; the interface of ``network.Heads`` with a single head."""

    def __init__(self, config: TeacherConfig, cache: Path, labels: int, seed: tuple[int, ...], steps: int) -> None:
        """Start from the pretrained weights.

        Args:
            config: of the training.
            cache: folder with fetched weights.
            labels: how many there are.
            seed: of the answer's first weights.
            steps: over which the learning rate falls to zero.
        """
        base, _ = backbones.build(backbones.parse(config.backbone), cache)
        (layer,) = config.maps
        pooled = keras.layers.GlobalAveragePooling2D()(base.output)
        self._config, self._layer, self._labels = config, layer, labels
        self._network = keras.Model(base.get_layer(layer).output, pooled)
        for part in self._network.layers:
            part.trainable = not isinstance(part, keras.layers.BatchNormalization)
        features = pooled.shape[-1]
        first = np.random.default_rng(seed).normal(size=(features, labels)) / features / _ANSWER_SPEED
        self._answer = keras.Variable(first.astype(np.float32), dtype="float32", name="answer")
        self._bias = keras.Variable(np.zeros(labels, np.float32), dtype="float32", name="answer-bias")
        self._variables = [*self._network.trainable_variables, self._answer, self._bias]
        self._optimizer = keras.optimizers.AdamW(
            schedule(config.learning_rate, config.warmup, steps), weight_decay=config.weight_decay
        )
        self._optimizer.build(self._variables)
        self._step = tf.function(self._plain_step, reduce_retracing=True)
        self._forward = tf.function(self._plain_forward, reduce_retracing=True)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights that learn, with an axis for the head."""
        return {str(n): np.array(v.numpy())[np.newaxis] for n, v in enumerate(self._variables)}

    def replace(self, weights: dict[str, NDArray[np.float32]]) -> None:
        """Take other weights."""
        for n, variable in enumerate(self._variables):
            variable.assign(weights[str(n)][0])

    def state(self) -> list[NDArray[Any]]:
        """Weights and the optimiser's memory, for a checkpoint."""
        return [np.array(v.numpy()) for v in (*self._variables, *self._optimizer.variables)]

    def restore(self, state: list[NDArray[Any]]) -> None:
        """Go on from ``state``."""
        for variable, value in zip((*self._variables, *self._optimizer.variables), state, strict=True):
            variable.assign(value)

    def step(self, maps: dict[str, Any], targets: NDArray[np.float32], weights: NDArray[np.float32], seed: int) -> Any:
        """One batch, as ``network.Heads.step``."""
        levels, scales = maps[self._layer]
        return self._step(
            levels, scales, tf.constant(targets), tf.constant(weights[0]), tf.constant([self._config.seed, seed])
        )

    def logits(self, reader: MapReader, images: NDArray[np.int64], view: int = 0) -> NDArray[np.float32]:
        """Logits [1, images, labels] of one view of each image."""
        some = (images[start : start + EVALUATED] for start in range(0, len(images), EVALUATED))
        parts = [self._forward(*reader.read(self._layer, part, view)).numpy() for part in some]
        return np.concatenate(parts)[np.newaxis]

    def results(self, reader: MapReader, images: int, run: Run) -> NDArray[np.float32]:
        """Logits [1 + views, images, labels]; of altered views only for the images that were learnt, else not a number."""
        learnt = np.flatnonzero(run.train[0])
        found = np.full((1 + self._config.views, images, self._labels), np.nan, np.float32)
        found[0] = self.logits(reader, np.arange(images))[0]
        for view in range(1, 1 + self._config.views):
            found[view, learnt] = self.logits(reader, learnt, view)[0]
        return found

    def _plain_step(self, levels: Any, scales: Any, targets: Any, weights: Any, seed: Any) -> Any:
        values = [v.value for v in self._variables]
        with tf.GradientTape() as tape:
            features = tf.nn.experimental.stateless_dropout(self._features(levels, scales), self._config.dropout, seed)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, self._answers(features))
            loss = tf.reduce_sum(losses * weights)
        self._optimizer.apply(tape.gradient(loss, values), self._variables)
        return loss

    def _plain_forward(self, levels: Any, scales: Any) -> Any:
        return self._answers(self._features(levels, scales))

    def _features(self, levels: Any, scales: Any) -> Any:
        values = tf.cast(levels, tf.float32) * scales[:, tf.newaxis, tf.newaxis]
        return self._network(values, training=False)

    def _answers(self, features: Any) -> Any:
        return features @ (self._answer.value * _ANSWER_SPEED) + self._bias.value
