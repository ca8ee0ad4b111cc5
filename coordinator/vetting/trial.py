"""Running a standardised stage on golden pictures, in the sandbox: the very code that nodes run."""

from __future__ import annotations

import math
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coordinator.errors import CoordinatorError
from coordinator.vetting import rooms
from coordinator.vetting.standard import IMAGE
from protocols.errors import ProtocolError
from protocols.imaging import InputSpec, prepare
from protocols.pipeline import LOGITS, StageRunner
from protocols.selftest import pictures

_ROUNDS = 2
Image.preinit()  # Python's own files may be out of reach once the process is confined


def try_stage(arguments: dict[str, Any]) -> dict[str, Any]:
    """Logits [pictures, labels] of the golden pictures; then black, white and noise, which must give numbers too.

    Args:
        arguments: ``edge_px``, ``value_range``, ``labels`` (their number).

    Raises:
        CoordinatorError: ``vetting.unusable``, ``vetting.wrong_output``, ``vetting.not_finite``, ``vetting.unsteady``.
    """
    spec = InputSpec(arguments["edge_px"], tuple(arguments["value_range"]))
    golden = [prepare(picture, spec) for picture in pictures(Path(rooms.STRIP).read_bytes())]
    first = _run(golden, spec, arguments["labels"])
    for _ in range(_ROUNDS):  # another interpreter each time, and the pictures in another order
        again = _run(golden[::-1], spec, arguments["labels"])[::-1]
        if not np.array_equal(first, again):
            raise CoordinatorError("vetting.unsteady")
    low, high = spec.value_range
    shape = golden[0].shape
    noise = np.random.default_rng(11).uniform(low, high, shape).astype(np.float32)
    _run([np.full(shape, low, np.float32), np.full(shape, high, np.float32), noise], spec, arguments["labels"])
    return {"logits": first.tolist()}


def _wanted_bytes() -> int:
    """Bytes of all tensors, as their operators work the shapes out; LiteRT itself does not say that memory ran out."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=rooms.STAGE)
        with suppress(RuntimeError):
            interpreter.allocate_tensors()
        found = interpreter.get_tensor_details()
    except (ValueError, RuntimeError):
        return 0
    return sum(math.prod(int(side) for side in x["shape"]) * np.dtype(x["dtype"]).itemsize for x in found)


def _run(images: list[NDArray[np.float32]], spec: InputSpec, labels: int) -> NDArray[np.float32]:
    try:
        runner = StageRunner(Path(rooms.STAGE))
        if runner.inputs != {IMAGE: (1, spec.edge_px, spec.edge_px, 3)}:
            raise CoordinatorError("vetting.unusable")
        found = [runner.run({IMAGE: image})[LOGITS] for image in images]
    except (ProtocolError, KeyError) as error:
        if _wanted_bytes() > resource.getrlimit(resource.RLIMIT_AS)[0]:
            raise MemoryError from error
        raise CoordinatorError("vetting.unusable") from error
    for row in found:
        if row.shape != (1, labels):
            raise CoordinatorError("vetting.wrong_output", found=list(row.shape), wanted=[1, labels])
        if row.dtype != np.float32 or not np.isfinite(row).all():
            raise CoordinatorError("vetting.not_finite", what="answers")
    return np.concatenate(found)
