"""From a vetted ``.keras`` or ``.h5`` file to TFLite, in the sandbox. TensorFlow is loaded before the rights are gone (ADR 2)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from coordinator.errors import CoordinatorError
from coordinator.vetting import rooms

TOLERANCE = 0.01
_PICTURES = 4


def convert(arguments: dict[str, Any]) -> dict[str, float]:
    """Write it with float16 weights, whose answers must be the original's.

    Weights are not rounded to int8: whether that costs accuracy can only be judged on images, and none came with the model.

    Args:
        arguments: ``kind``, ``edge_px``, ``value_range``.

    Raises:
        CoordinatorError: ``vetting.input_shape``, ``vetting.conversion_failed``, ``vetting.conversion_differs``.
    """
    tempfile.tempdir = str(Path.cwd())  # there is no other place to write to
    given, converted = Path(rooms.MODEL), Path(rooms.CONVERTED)
    named = given.with_suffix(f".{arguments['kind']}")  # Keras goes by the name
    given.rename(named)
    try:
        model = keras.saving.load_model(named, compile=False, safe_mode=True)
        shape = model.input_shape
        shown = (
            "[" + ", ".join(str(1 if side is None else side) for side in shape) + "]"
            if isinstance(shape, tuple)
            else "several"
        )
        edge = arguments["edge_px"]
        if shape != (None, edge, edge, 3) and shape != (1, edge, edge, 3):
            raise CoordinatorError("vetting.input_shape", found=shown, wanted=f"[1, {edge}, {edge}, 3]")
        run = tf.function(lambda image: model(image, training=False))
        concrete = run.get_concrete_function(tf.TensorSpec([1, edge, edge, 3], tf.float32))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converted.write_bytes(converter.convert())
        difference = _compare(concrete, arguments)
    except (CoordinatorError, MemoryError):
        raise
    except Exception as error:  # Keras and the converter raise of every kind
        raise CoordinatorError("vetting.conversion_failed", problem=type(error).__name__) from error
    return {"difference": difference}


def _compare(original: Any, arguments: dict[str, Any]) -> float:
    """The largest difference of an output, relative to the outputs' size where that is above 1."""
    interpreter = Interpreter(model_path=rooms.CONVERTED)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    low, high = arguments["value_range"]
    generator, found = np.random.default_rng(3), 0.0
    edge = arguments["edge_px"]
    for _ in range(_PICTURES):
        coarse = generator.uniform(low, high, (1, edge // 8 + 1, edge // 8 + 1, 3)).astype(np.float32)
        image = np.repeat(np.repeat(coarse, 8, 1), 8, 2)[:, :edge, :edge]
        wanted = np.asarray(original(tf.constant(image)))
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        got = interpreter.get_tensor(given["index"])
        if wanted.shape != got.shape:
            raise CoordinatorError("vetting.conversion_failed", problem="shapes differ")
        scale = max(float(np.abs(wanted).max()), 1.0)
        found = max(found, float(np.abs(wanted - got).max()) / scale)
    if not found <= TOLERANCE:
        raise CoordinatorError("vetting.conversion_differs", found=f"{found:.4f}", limit=TOLERANCE)
    return round(found, 6)
