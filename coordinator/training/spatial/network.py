"""The spatial head as a TensorFlow network: several heads at once, each with its own part of the images.

Heads of all folds and members see the same batches, stacked along an axis, so that maps are read, decoded and multiplied
once for all of them. AdamW works on each weight alone, so each head ends as it would by itself. Only children import this.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from coordinator.training.convert import convert_module, same_twice
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.folding import Arrays, Moments, folded
from coordinator.training.spatial.job import Run
from coordinator.training.spatial.maps import MapReader
from protocols.explanation import EVIDENCE
from protocols.pipeline import LOGITS
from protocols.spatial import forward

EVALUATED = 64  # images a forward pass


def moments(reader: MapReader, layers: tuple[str, ...], images: int, rows: NDArray[np.bool_]) -> Moments:
    """Moments for heads fitted on ``rows`` [heads, images]."""
    mean: Arrays = {}
    deviation: Arrays = {}
    for layer in layers:
        sums, squares = [], []
        for start in range(0, images, EVALUATED):
            levels, scales = reader.read(layer, np.arange(start, min(start + EVALUATED, images)))
            cells = levels.reshape(len(levels), -1, levels.shape[-1])
            sums.append(cells.sum(axis=1, dtype=np.uint32) * scales.astype(np.float64))
            wide = cells.astype(np.float32)
            squares.append(np.einsum("icj,icj->ij", wide, wide) * np.square(scales.astype(np.float64)))
        count = rows.sum(axis=1, keepdims=True) * cells.shape[1]
        first = rows @ np.concatenate(sums) / count
        second = rows @ np.concatenate(squares) / count
        spread = np.sqrt(np.maximum(second - np.square(first), 0))
        # A channel that hardly ever moves must not be blown up to unit variance.
        floor = np.maximum(1e-2 * spread.max(axis=1, keepdims=True), 1e-9)
        mean[layer], deviation[layer] = first.astype(np.float32), np.maximum(spread, floor).astype(np.float32)
    return Moments(mean, deviation)


def initial(config: SpatialConfig, channels: int, labels: int, seeds: list[tuple[int, ...]]) -> Arrays:
    """First weights of a head for each seed, stacked."""
    return _stack([_initial_of_one(config, channels, labels, np.random.default_rng(seed)) for seed in seeds])


def _initial_of_one(config: SpatialConfig, channels: int, labels: int, chance: np.random.Generator) -> Arrays:
    def normal(fan_in: int, *shape: int) -> NDArray[np.float32]:
        return np.asarray(chance.normal(size=shape) * np.sqrt(2 / fan_in), dtype=np.float32)

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, dtype=np.float32)

    width = config.width
    weights: Arrays = {}
    for layer in config.maps:
        weights[f"{layer}/reduce"], weights[f"{layer}/reduce_bias"] = normal(channels, channels, width), zeros(width)
        for block in range(config.depth):
            name = f"{layer}/{block}"
            weights[f"{name}/around"], weights[f"{name}/around_bias"] = normal(9, 3, 3, width), zeros(width)
            weights[f"{name}/mix"], weights[f"{name}/mix_bias"] = normal(width, width, width), zeros(width)
        if "attention" in config.pooling:
            weights[f"{layer}/attention"] = zeros(width)
    weights["answer"] = normal(4 * config.features, config.features, labels)
    weights["answer_bias"] = zeros(labels)
    return weights


def schedule(highest: float, warmup: float, steps: int) -> Any:
    """A learning rate that rises to ``highest`` over a share of the steps and falls to zero along a cosine."""
    rising = int(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else highest,
        steps - rising,
        warmup_target=highest if rising else None,
        warmup_steps=rising,
    )


def _stack(members: list[Arrays]) -> Arrays:
    return {name: np.stack([m[name] for m in members]) for name in members[0]}


class Heads:
    """Stacked heads in training. The first axis of every weight is the head."""

    def __init__(self, config: SpatialConfig, weights: Arrays, known: Moments, steps: int) -> None:
        """Start from ``weights``; the learning rate falls to zero over ``steps``."""
        self._config = config
        self._weights = {n: keras.Variable(w, dtype="float32", name=n.replace("/", "-")) for n, w in weights.items()}
        self._mean = {layer: tf.constant(v) for layer, v in known.mean.items()}
        self._deviation = {layer: tf.constant(v) for layer, v in known.deviation.items()}
        self._known = known
        rate = schedule(config.learning_rate, config.warmup, steps)
        self._optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
        plain = [v.name for n, v in self._weights.items() if n.endswith(("bias", "attention"))]
        self._optimizer.exclude_from_weight_decay(var_names=plain)
        self._optimizer.build(list(self._weights.values()))
        self._step = tf.function(self._plain_step, reduce_retracing=True)
        self._forward = tf.function(self._plain_forward, reduce_retracing=True)

    def weights(self) -> Arrays:
        """The weights as they are."""
        return {name: np.array(v.numpy()) for name, v in self._weights.items()}

    def folded(self) -> tuple[Arrays, Moments]:
        """The weights with the standardisation folded in, and what was folded in."""
        return folded(self._config, self.weights(), self._known), self._known

    def state(self) -> list[NDArray[Any]]:
        """Weights and the optimiser's memory, for a checkpoint."""
        return [np.array(v.numpy()) for v in (*self._weights.values(), *self._optimizer.variables)]

    def restore(self, state: list[NDArray[Any]]) -> None:
        """Go on from ``state``."""
        for variable, value in zip((*self._weights.values(), *self._optimizer.variables), state, strict=True):
            variable.assign(value)

    def replace(self, weights: Arrays) -> None:
        """Take other weights."""
        for name, value in weights.items():
            self._weights[name].assign(value)

    def step(self, maps: dict[str, Any], targets: NDArray[np.float32], weights: NDArray[np.float32], seed: int) -> Any:
        """One batch; returns the summed loss, not yet waited for.

        Args:
            maps: by layer (levels uint8 [batch, h, w, channels], scales float32 [batch, channels]).
            targets: [batch, labels], or [heads, batch, labels]; rows sum to 1.
            weights: [heads, batch]; 0: not an image of that head's.
            seed: of the dropout.
        """
        return self._step(maps, tf.constant(targets), tf.constant(weights), tf.constant([self._config.seed, seed]))

    def logits(self, reader: MapReader, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [heads, images, labels], without dropout."""
        parts = []
        for start in range(0, len(images), EVALUATED):
            some = images[start : start + EVALUATED]
            parts.append(self._forward({layer: reader.read(layer, some) for layer in self._config.maps}).numpy())
        return np.concatenate(parts, axis=1)

    def results(self, reader: MapReader, images: int, run: Run) -> NDArray[np.float32]:
        """Logits [heads, images, labels] of all images."""
        return self.logits(reader, np.arange(images))

    def _plain_step(self, maps: Any, targets: Any, weights: Any, seed: Any) -> Any:
        variables = list(self._weights.values())
        values = [v.value for v in variables]
        with tf.GradientTape() as tape:
            features = self._features(maps, seed)
            if self._config.dropout:
                features = tf.nn.experimental.stateless_dropout(features, self._config.dropout, seed)
            logits = forward.answer(tf, self._values(), features)
            losses = tf.nn.softmax_cross_entropy_with_logits(tf.broadcast_to(targets, tf.shape(logits)), logits)
            loss = tf.reduce_sum(losses * weights)
        self._optimizer.apply(tape.gradient(loss, values), variables)
        return loss

    def _plain_forward(self, maps: Any) -> Any:
        return forward.answer(tf, self._values(), self._features(maps))

    def _values(self) -> dict[str, Any]:
        return {name: v.value for name, v in self._weights.items()}

    def _features(self, maps: Any, seed: Any = None) -> Any:
        """Pooled features [heads, batch, features]; ``seed``: of the dropout in training."""

        def thinned(layer: str, cells: Any) -> Any:
            own = tf.stack([seed[0] + 1 + self._config.maps.index(layer), seed[1]])
            kept = tf.ones([tf.shape(cells)[0], 1, cells.shape[2]])
            return cells * tf.nn.experimental.stateless_dropout(kept, self._config.channel_dropout, own)

        thin = thinned if self._config.channel_dropout and seed is not None else None
        return forward.pooled(tf, self._config, self._values(), self._mean, self._deviation, maps, thin)


def export(
    config: SpatialConfig, weights: Arrays, shape: tuple[int, int, int], encodings: Sequence[str], folder: Path
) -> None:
    """Write ``<encoding>.tflite`` of the mean of the heads in ``weights``, which are ``folded``.

    Inputs are the trunk's maps [1, h, w, channels]. ``evidence`` [1, h, w, labels] is each location's part of the logits: the
    averaged features' shares, the maximum where it is reached, attention where it looks. ``logits`` [1, labels] are the sum of it
    and the bias, so that the parts add up by construction and cost no weight twice.
    """

    def once(encoding: str) -> bytes:
        module = tf.Module()
        module.evidence = tf.function(partial(located, config, weights))
        signature = module.evidence.get_concrete_function(
            **{name: tf.TensorSpec([1, *shape], tf.float32, name=name) for name in config.inputs}
        )
        with tempfile.TemporaryDirectory() as saved:
            tf.saved_model.save(module, saved, signatures=signature)
            return convert_module(saved, encoding)

    for encoding in encodings:
        (folder / f"{encoding}.tflite").write_bytes(same_twice(partial(once, encoding), "head"))


def located(config: SpatialConfig, weights: Arrays, **maps: Any) -> dict[str, Any]:
    """``logits`` and ``evidence`` as a graph, of ``folded`` weights."""
    parts = []
    for layer in config.maps:
        activation = maps[f"{layer}_map"]
        parts += _parts_of_layer(config, weights, layer, activation)
    _, height, across, _ = next(iter(maps.values())).shape
    members = len(weights["answer"])
    # The order of _parts_of_layer: layer, pool, member; of the answer's rows in each member: layer, pool.
    rows = weights["answer"].reshape(members, len(config.maps) * len(config.pooling), config.width, -1)
    answer = np.concatenate([rows[m, part] for part in range(rows.shape[1]) for m in range(members)]) / members
    evidence = tf.concat(parts, axis=-1) @ tf.constant(answer, tf.float32)
    logits = tf.reduce_sum(evidence, axis=0, keepdims=True) + tf.constant(weights["answer_bias"].mean(axis=0))
    return {LOGITS: logits, EVIDENCE: tf.reshape(evidence, [1, height, across, answer.shape[1]])}


def _parts_of_layer(config: SpatialConfig, weights: Arrays, layer: str, activation: Any) -> list[Any]:
    """What each pool of each member takes from each location, [locations, width] each; their sums are the pooled features."""
    members, width = len(weights["answer"]), config.width
    _, height, across, channels = activation.shape
    flat = weights[f"{layer}/reduce"].transpose(1, 0, 2).reshape(channels, members * width)
    # Channels differ by orders of magnitude: scaled to weigh alike, int8 rounds them twelve times less (docs/adr/0024).
    alike = np.maximum(np.abs(flat).max(axis=1), np.finfo(np.float32).tiny).astype(np.float32)
    # Nothing is negative there; without the relu the converter would multiply the scales into the weights again.
    scaled = tf.nn.relu(tf.reshape(activation, [height * across, channels]) * tf.constant(alike))
    cells = scaled @ tf.constant((flat / alike[:, np.newaxis]).astype(np.float32))
    cells = tf.nn.relu(cells + tf.constant(weights[f"{layer}/reduce_bias"].reshape(-1)))
    for block in range(config.depth):
        name = f"{layer}/{block}"
        around = weights[f"{name}/around"].transpose(1, 2, 0, 3).reshape(3, 3, members * width, 1)
        grid = tf.reshape(cells, [1, height, across, members * width])
        grid = tf.nn.depthwise_conv2d(grid, tf.constant(around), [1, 1, 1, 1], "SAME")
        grid = tf.reshape(grid + tf.constant(weights[f"{name}/around_bias"].reshape(-1)), [-1, members * width])
        mixed = [grid[:, m * width : (m + 1) * width] @ tf.constant(weights[f"{name}/mix"][m]) for m in range(members)]
        mixed_all = tf.nn.relu(tf.concat(mixed, axis=-1) + tf.constant(weights[f"{name}/mix_bias"].reshape(-1)))
        cells = mixed_all + cells if config.residual else mixed_all
    return [part for kind in config.pooling for part in _shares(weights, layer, kind, cells, members)]


def _shares(weights: Arrays, layer: str, kind: str, cells: Any, members: int) -> list[Any]:
    count, width = cells.shape[0], cells.shape[1] // members
    if kind == "average":
        located = cells * (1 / count)
    elif kind == "maximum":
        reached = tf.cast(cells >= tf.reduce_max(cells, axis=0, keepdims=True), tf.float32)
        located = cells * (reached / tf.reduce_sum(reached, axis=0, keepdims=True))
    else:
        columns = [
            cells[:, m * width : (m + 1) * width] @ tf.constant(weights[f"{layer}/attention"][m][:, np.newaxis])
            for m in range(members)
        ]
        shares = [tf.transpose(tf.nn.softmax(tf.transpose(column))) for column in columns]
        return [cells[:, m * width : (m + 1) * width] * share for m, share in enumerate(shares)]
    return [located[:, m * width : (m + 1) * width] for m in range(members)]


def prepare() -> None:
    """Set TensorFlow up for a child: all cores that we may use, and the same result whenever it is run again."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
