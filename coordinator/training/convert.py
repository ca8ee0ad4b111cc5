"""TensorFlow's part, run as a child process: ``python -m coordinator.training.convert trunk|head …``.

A child keeps TensorFlow out of the caller, frees its memory at once, and makes conversion byte-identical: names and
sessions start fresh each time. The child answers with one line of JSON on stdout, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from coordinator.engine.ending import end_with_stdin, lifeline
from coordinator.errors import CoordinatorError
from coordinator.training import backbones
from coordinator.training.linear import LinearHead
from protocols.errors import MedMeshError
from protocols.pipeline import LOGITS

T = TypeVar("T")

POOLED = ("mixed2", "mixed4", "mixed7", "mixed8", "mixed10")
MAPS = ("mixed4", "mixed7", "mixed10")
TAPS = tuple(f"{layer}_{pool}" for layer in POOLED for pool in ("avg", "max"))


def _convert(converter: Any, weights: str) -> bytes:
    """TFLite bytes. ``weights``: ``int8`` (dynamic range) or ``float16``."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def convert_module(saved: str, weights: str) -> bytes:
    """TFLite bytes of a saved module with one signature; ``weights`` as in ``_convert``."""
    import tensorflow as tf

    return _convert(tf.lite.TFLiteConverter.from_saved_model(saved), weights)


def trunk(name: str, cache: Path, target: Path) -> dict[str, Any]:
    """Convert a backbone to the trunk with all its named outputs; they are final, one more would cost every node 22 MB."""
    import keras
    import tensorflow as tf

    backbone = backbones.parse(name)
    model, weights_sha256 = backbones.build(backbone, cache)
    outputs = {}
    for layer in POOLED:
        activation = model.get_layer(layer).output
        outputs[f"{layer}_avg"] = keras.layers.GlobalAveragePooling2D(name=f"{layer}_avg")(activation)
        outputs[f"{layer}_max"] = keras.layers.GlobalMaxPooling2D(name=f"{layer}_max")(activation)
        if layer in MAPS:
            outputs[f"{layer}_map"] = activation
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(model.input, outputs))
    target.write_bytes(_convert(converter, "int8"))
    return {"weights_sha256": weights_sha256}


def same_twice(make: Callable[[], T], what: str) -> T:
    """Convert twice: what does not come out the same cannot be checked by anybody.

    Raises:
        CoordinatorError: ``train.conversion_unsteady``.
    """
    first = make()
    if make() != first:
        raise CoordinatorError("train.conversion_unsteady", what=what)
    return first


def head(source: Path, folder: Path, encodings: list[str]) -> dict[str, Any]:
    """Convert a linear head; each tap has a product of its own, so that each is quantised on its own scale."""
    names, specs, answer = _linear(source)
    _write(lambda **taps: {LOGITS: answer(taps)}, {n: specs[n] for n in names}, folder, encodings)
    return {}


def joined(source: Path, folded: Path, document: str, folder: Path, encodings: list[str]) -> dict[str, Any]:
    """Convert the sum of a linear and a spatial head; only the spatial one's part has a place, the rest is spread evenly.

    Args:
        source: of the linear head, whose ``shape`` is that of the maps and whose ``scale`` multiplies the spatial head.
        folded: weights of the spatial head.
        document: its configuration, JSON.
        folder: where to.
        encodings: of the weights.
    """
    import tensorflow as tf

    from coordinator.training.spatial import folding, network
    from coordinator.training.spatial.config import SpatialConfig

    config = SpatialConfig.from_document(json.loads(document))
    names, specs, answer = _linear(source)
    weights, _ = folding.read(folded)
    with np.load(source) as arrays:
        shape, scale = [int(n) for n in arrays["shape"]], np.float32(arrays["scale"])
    weights |= {name: weights[name] * scale for name in ("answer", "answer_bias")}

    def both(**inputs: Any) -> dict[str, Any]:
        located = network.located(config, weights, **{n: inputs[n] for n in config.inputs})
        return {**located, LOGITS: located[LOGITS] + answer({n: inputs[n] for n in names})}

    maps = {n: tf.TensorSpec([1, *shape], tf.float32, name=n) for n in config.inputs}
    _write(both, {**{n: specs[n] for n in names}, **maps}, folder, encodings)
    return {}


def _linear(source: Path) -> tuple[list[str], dict[str, Any], Callable[[dict[str, Any]], Any]]:
    """Taps of a stored linear head, what they look like, and its logits as a graph."""
    import tensorflow as tf

    with np.load(source) as arrays:
        names = [str(n) for n in arrays["taps"]]
        kernels = {tap: tf.constant(arrays[f"weights/{tap}"]) for tap in names}
        bias = tf.constant(arrays["bias"])
    specs = {tap: tf.TensorSpec([1, kernel.shape[0]], tf.float32, name=tap) for tap, kernel in kernels.items()}
    return names, specs, lambda taps: tf.add_n([tf.matmul(taps[tap], kernels[tap]) for tap in names]) + bias


def _write(answer: Callable[..., dict[str, Any]], specs: dict[str, Any], folder: Path, encodings: list[str]) -> None:
    """Convert a function of named inputs, twice in each encoding."""
    import tensorflow as tf

    def once(weights: str) -> bytes:
        module = tf.Module()
        module.evidence = tf.function(answer)
        signature = module.evidence.get_concrete_function(**specs)
        with tempfile.TemporaryDirectory() as saved:
            tf.saved_model.save(module, saved, signatures=signature)
            return convert_module(saved, weights)

    for encoding in encodings:
        (folder / f"{encoding}.tflite").write_bytes(same_twice(partial(once, encoding), "head"))


def run(*arguments: str) -> dict[str, Any]:
    """Run one conversion in a child process and return its answer.

    Raises:
        CoordinatorError: as the child reported it, or ``train.conversion_failed``.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-m", __name__, *arguments]
    with lifeline() as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, env=environment, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return dict(json.loads(lines[-1]))
    if os.environ.get("MEDMESH_DEBUG"):
        sys.stderr.write(done.stderr)
    if done.returncode == 1 and lines:
        failure = json.loads(lines[-1])
        raise CoordinatorError(failure["code"], **failure["details"])
    raise CoordinatorError("train.conversion_failed", what=arguments[0])


def convert_trunk(name: str, cache: Path, target: Path) -> str:
    """Convert a backbone in a child; returns the weights' SHA-256."""
    return str(run("trunk", name, str(cache), str(target))["weights_sha256"])


def convert_head(
    linear: LinearHead, taps: tuple[str, ...], channels: list[int], folder: Path, encodings: list[str]
) -> list[Path]:
    """Convert a linear head in a child, once for each encoding (TensorFlow's start takes far longer); returns TFLite files."""
    source = _store(linear, taps, channels, folder)
    run("head", str(source), str(folder), *encodings)
    return [folder / f"{encoding}.tflite" for encoding in encodings]


def convert_joined(
    linear: LinearHead,
    taps: tuple[str, ...],
    channels: list[int],
    folded: Path,
    document: dict[str, Any],
    shape: tuple[int, int, int],
    scale: float,
    folder: Path,
    encodings: list[str],
) -> list[Path]:
    """Convert a linear head and ``scale`` times a spatial one as one file, in a child; arguments as ``joined``."""
    source = _store(linear, taps, channels, folder, shape=np.array(shape), scale=np.float32(scale))
    run("joined", str(source), str(folded), json.dumps(document), str(folder), *encodings)
    return [folder / f"{encoding}.tflite" for encoding in encodings]


def _store(linear: LinearHead, taps: tuple[str, ...], channels: list[int], folder: Path, **more: Any) -> Path:
    source = folder / "head.npz"
    starts = np.cumsum([0, *channels])
    kernels = {f"weights/{t}": linear.weights[a:b] for t, a, b in zip(taps, starts, starts[1:], strict=False)}
    arrays: dict[str, Any] = {"taps": np.array(taps), "bias": linear.bias, **kernels, **more}
    np.savez(source, **arrays)
    return source


def _main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["trunk", name, cache, target]:
                answer = trunk(name, Path(cache), Path(target))
            case ["head", source, folder, *encodings]:
                answer = head(Path(source), Path(folder), encodings)
            case ["joined", source, folded, document, folder, *encodings]:
                answer = joined(Path(source), Path(folded), document, Path(folder), encodings)
            case _:
                return 2
    except MedMeshError as error:
        details = {k: str(v) for k, v in error.details.items()}
        sys.stdout.write("\n" + json.dumps({"code": error.code, "details": details}) + "\n")
        return 1
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    end_with_stdin()
    sys.exit(_main(sys.argv[1:]))
