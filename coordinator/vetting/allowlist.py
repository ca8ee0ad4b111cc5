"""What a brought network may be, decided without running it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from coordinator.errors import CoordinatorError
from coordinator.vetting.description import Description
from coordinator.vetting.network import FLOAT32, INT8, UINT8, Network, Tensor
from coordinator.vetting.operators import ALLOWED, BOUNDED

_MB = 1 << 20
_NEEDS_OPTIONS = {
    *("AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "FULLY_CONNECTED"),
    *("LOCAL_RESPONSE_NORMALIZATION", "MAX_POOL_2D", "SOFTMAX", "SPACE_TO_DEPTH", "STRIDED_SLICE", "SPLIT", "PACK"),
    *("SPLIT_V", "LEAKY_RELU", "MIRROR_PAD"),
}


@dataclass(frozen=True)
class Limits:
    """Bounds of a file and of what it declares; a phone must run it too."""

    file_bytes: int = 128 * _MB  # checking and rewriting takes some three times as much of the coordinator's memory
    operators: int = 4000
    tensor_bytes: int = 128 * _MB
    computed_bytes: int = 1024 * _MB  # of all computed tensors together, above what any arena needs
    side: int = 1 << 24  # of one dimension


def check(network: Network, wanted: Description, limits: Limits) -> None:
    """Refuse what is not a plain image classifier of the described shape.

    Raises:
        CoordinatorError: ``vetting.over_limit``, ``vetting.structure``, ``vetting.damaged``, ``vetting.input_shape``,
            ``vetting.label_count``, ``vetting.not_finite``.
    """
    check_sound(network, limits)
    _input(network, wanted)
    _output(network, wanted)


def check_sound(network: Network, limits: Limits) -> None:
    """Refuse what is no plain arithmetic of bounded size, whatever goes in and comes out.

    Raises:
        CoordinatorError: ``vetting.over_limit``, ``vetting.damaged`` or ``vetting.not_finite``.
    """
    _bound("operators", len(network.operators), limits.operators)
    for tensor in network.tensors:
        _bound("side of a tensor", max(tensor.shape, default=0), limits.side)
        _bound("bytes of a tensor", tensor.size_bytes, limits.tensor_bytes)
        if tensor.data is not None:
            _finite(tensor)
    computed = sum(t.size_bytes for t in network.tensors if t.data is None)
    _bound("bytes of all computed tensors", computed, limits.computed_bytes)
    for operator in network.operators:
        _options(operator.name, operator.options)


def _bound(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise CoordinatorError("vetting.over_limit", what=what, found=found, limit=limit)


def _finite(tensor: Tensor) -> None:
    """Weights are numbers; a lone infinity is a padding value."""
    if np.dtype(tensor.values.dtype).kind != "f":
        return
    values = tensor.values
    if np.isnan(values).any() or (values.size > 1 and not np.isfinite(values).all()):
        raise CoordinatorError("vetting.not_finite", what="weights")


def _options(name: str, options: object) -> None:
    if options is None:
        if name in _NEEDS_OPTIONS:
            raise CoordinatorError("vetting.damaged", what=f"options of {name}: {ALLOWED[name][1]} is missing")
        return
    for key, value in vars(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CoordinatorError("vetting.damaged", what=f"options of {name}")
        if key in BOUNDED and not BOUNDED[key][0] <= value <= BOUNDED[key][1]:
            raise CoordinatorError("vetting.damaged", what=f"options of {name}: {key} {value}")


def _input(network: Network, wanted: Description) -> None:
    if len(network.inputs) != 1:
        raise CoordinatorError("vetting.structure", what=f"{len(network.inputs)} inputs instead of 1")
    tensor = network.tensors[network.inputs[0]]
    if tensor.type not in (FLOAT32, UINT8):
        raise CoordinatorError("vetting.structure", what="an input that is neither float32 nor uint8")
    shape = (1, wanted.edge_px, wanted.edge_px, 3)
    if tensor.shape != shape:
        raise CoordinatorError("vetting.input_shape", found=_shown(tensor.shape), wanted=_shown(shape))
    if tensor.type == UINT8 and wanted.value_range != (0.0, 255.0):
        raise CoordinatorError("vetting.bad_labels", field="input.range", reason="[0, 255], since the input is uint8")


def _output(network: Network, wanted: Description) -> None:
    if len(network.outputs) != 1:
        raise CoordinatorError("vetting.structure", what=f"{len(network.outputs)} outputs instead of 1")
    tensor = network.tensors[network.outputs[0]]
    if tensor.type not in (FLOAT32, UINT8, INT8) or (tensor.type != FLOAT32 and tensor.quantisation is None):
        raise CoordinatorError("vetting.structure", what="an output that is no float32 and not quantised")
    if len(tensor.shape) != 2 or tensor.shape[0] != 1:
        raise CoordinatorError("vetting.structure", what=f"an output {_shown(tensor.shape)} instead of [1, labels]")
    found, labels = tensor.shape[1], len(wanted.labels)
    if found != labels and not (wanted.output == "sigmoid" and found == 1 and labels == 2):
        raise CoordinatorError("vetting.label_count", found=found, wanted=labels)


def _shown(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
