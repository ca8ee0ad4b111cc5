"""Makes the tiny stages beside this file: ``python -m tests.protocols.data.make_stages`` from the root, with TensorFlow.

Weights are random with a fixed seed. ``trunk`` sees 32 px and gives what the real trunk gives, in small: ``mixed4_map``
[1, 4, 4, 352] and ``mixed7_map`` [1, 2, 2, 352] with their pools, and the pools of ``mixed2`` [1, 64] without a map. All heads
have three labels: ``head_int8`` and ``head_float16`` are linear in all six pools, converted as the coordinator converts them;
``head_spatial`` has an output ``evidence`` of its own, in ``head_misshapen`` it has two labels; ``head_curved`` has a hidden
layer; ``whole`` is a model of one stage.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.training import convert

HERE = Path(__file__).parent
CHANNELS = {"mixed2": 64, "mixed4": 352, "mixed7": 352}
LABELS = 3
RANDOM = np.random.default_rng(5)


def weights(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def save(name: str, function: Callable[..., Any], **inputs: tuple[int, ...]) -> None:
    """Convert a function of named tensors to dynamic-range int8."""
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(function)
    specs = {key: tf.TensorSpec(shape, tf.float32, name=key) for key, shape in inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.run.get_concrete_function(**specs))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        (HERE / f"{name}.tflite").write_bytes(converter.convert())


def stages() -> None:
    import tensorflow as tf

    kernels = {layer: weights(1, 1, 3, count) for layer, count in CHANNELS.items()}

    def trunk(image: Any) -> dict[str, Any]:
        outputs = {}
        for layer, side in (("mixed2", 8), ("mixed4", 8), ("mixed7", 16)):
            small = tf.nn.avg_pool2d(image, side, side, "VALID")
            activation = tf.nn.relu(tf.nn.conv2d(small - 0.4, kernels[layer], 1, "VALID"))
            outputs[f"{layer}_avg"] = tf.reduce_mean(activation, (1, 2))
            outputs[f"{layer}_max"] = tf.reduce_max(activation, (1, 2))
            if layer != "mixed2":
                outputs[f"{layer}_map"] = activation
        return outputs

    save("trunk", trunk, image=(1, 32, 32, 3))

    bias = tf.constant([0.5, 0.0, -0.5])
    at_once, hidden, last = weights(1, 1, 352, LABELS) / 100, weights(352, 8) / 4, weights(8, LABELS)

    def spatial(mixed4_map: Any) -> dict[str, Any]:
        evidence = tf.nn.conv2d(mixed4_map, at_once, 1, "VALID")
        return {"evidence": evidence, "logits": tf.reduce_sum(evidence, (1, 2)) + bias}

    def misshapen(mixed4_map: Any) -> dict[str, Any]:
        outputs = spatial(mixed4_map)
        return {**outputs, "evidence": outputs["evidence"][..., :2]}

    def curved(mixed4_avg: Any) -> dict[str, Any]:
        return {"logits": tf.matmul(tf.nn.relu(tf.matmul(mixed4_avg, hidden) - 0.2), last)}

    save("head_spatial", spatial, mixed4_map=(1, 4, 4, 352))
    save("head_misshapen", misshapen, mixed4_map=(1, 4, 4, 352))
    save("head_curved", curved, mixed4_avg=(1, 352))
    save("whole", lambda image: {"logits": tf.reduce_mean(image, (1, 2)) * 4}, image=(1, 32, 32, 3))


def linear_heads() -> None:
    taps = [f"{layer}_{pool}" for layer in CHANNELS for pool in ("avg", "max")]
    kernels: dict[str, Any] = {f"weights/{tap}": weights(CHANNELS[tap[:6]], LABELS) / 30 for tap in taps}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "head.npz"
        np.savez(source, taps=np.array(taps), bias=np.array([1.0, 0.0, -1.0], np.float32), **kernels)
        convert.head(source, Path(folder), ["int8", "float16"])
        for encoding in ("int8", "float16"):
            (HERE / f"head_{encoding}.tflite").write_bytes(Path(folder, f"{encoding}.tflite").read_bytes())


if __name__ == "__main__":
    stages()
    linear_heads()
