"""The forward pass of a spatial head, for training: written once, run by the TensorFlow that the caller hands in.

Heads are stacked along the first axis of every weight, so that maps are read, decoded and multiplied once for all of them:
all folds and members of a training, or the members of one head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protocols.spatial.shape import SpatialShape

Thinned = Callable[[str, Any], Any]  # a layer and its [batch, locations, heads * width], some channels left out


def pooled(
    tf: Any,
    shape: SpatialShape,
    weights: Mapping[str, Any],
    mean: Mapping[str, Any],
    deviation: Mapping[str, Any],
    maps: Mapping[str, tuple[Any, Any]],
    thinned: Thinned | None = None,
) -> Any:
    """Pooled features [heads, batch, features].

    Args:
        tf: TensorFlow.
        shape: of the heads.
        weights: by name, stacked.
        mean, deviation: of each channel, by layer [heads, channels]; the standardisation is folded into the first product.
        maps: by layer (levels uint8 [batch, h, w, channels], scales float32 [batch, channels]).
        thinned: channel dropout; None: none.
    """
    pools: list[Any] = []
    for layer in shape.maps:
        places = _places(tf, shape, weights, mean[layer], deviation[layer], layer, maps[layer], thinned)
        pools += [_pool(tf, weights, layer, kind, places) for kind in shape.pooling]
    return tf.concat(pools, axis=-1)


def answer(tf: Any, weights: Mapping[str, Any], features: Any) -> Any:
    """Logits [heads, batch, labels] of pooled features."""
    return features @ weights["answer"] + weights["answer_bias"][:, tf.newaxis]


def _places(
    tf: Any,
    of: SpatialShape,
    weights: Mapping[str, Any],
    mean: Any,
    deviation: Any,
    layer: str,
    maps: tuple[Any, Any],
    thinned: Thinned | None,
) -> Any:
    """What a layer's convolutions give, [heads, batch, locations, width]."""
    levels, scales = maps
    heads, width = weights["answer"].shape[0], of.width
    size = tf.shape(levels)
    batch, height, across, channels = size[0], size[1], size[2], levels.shape[3]
    values = tf.reshape(tf.cast(levels, tf.float32) * scales[:, tf.newaxis, tf.newaxis], [-1, channels])
    kernel = weights[f"{layer}/reduce"] / deviation[..., tf.newaxis]
    bias = weights[f"{layer}/reduce_bias"] - tf.reduce_sum(mean[..., tf.newaxis] * kernel, axis=1)
    flat = tf.reshape(tf.transpose(kernel, [1, 0, 2]), [channels, heads * width])
    cells = tf.nn.relu(values @ flat + tf.reshape(bias, [-1]))
    if thinned is not None:
        cells = tf.reshape(thinned(layer, tf.reshape(cells, [batch, -1, heads * width])), [-1, heads * width])
    for block in range(of.depth):
        name = f"{layer}/{block}"
        around = tf.reshape(tf.transpose(weights[f"{name}/around"], [1, 2, 0, 3]), [3, 3, heads * width, 1])
        grid = tf.reshape(cells, [batch, height, across, heads * width])
        grid = tf.nn.depthwise_conv2d(grid, around, [1, 1, 1, 1], "SAME")
        grid = grid + tf.reshape(weights[f"{name}/around_bias"], [-1])
        apart = tf.transpose(tf.reshape(grid, [-1, heads, width]), [1, 0, 2])
        apart = tf.nn.relu(apart @ weights[f"{name}/mix"] + weights[f"{name}/mix_bias"][:, tf.newaxis])
        if of.residual:
            apart = apart + tf.transpose(tf.reshape(cells, [-1, heads, width]), [1, 0, 2])
        if block + 1 < of.depth:
            cells = tf.reshape(tf.transpose(apart, [1, 0, 2]), [-1, heads * width])
    return tf.reshape(apart, [heads, batch, height * across, width])


def _pool(tf: Any, weights: Mapping[str, Any], layer: str, kind: str, places: Any) -> Any:
    if kind == "average":
        return tf.reduce_mean(places, axis=2)
    if kind == "maximum":
        return tf.reduce_max(places, axis=2)
    attention = weights[f"{layer}/attention"][:, tf.newaxis, tf.newaxis]
    share = tf.nn.softmax(tf.reduce_sum(places * attention, axis=3), axis=2)
    return tf.reduce_sum(places * share[..., tf.newaxis], axis=2)
