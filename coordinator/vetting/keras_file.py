"""What may stand in a ``.keras`` or ``.h5`` file, decided from its configuration alone, before Keras sees it. Pure.

Keras builds objects by the names in the configuration. Only names on these lists pass, and only whole numbers that the file's own
weights bear out, so that nothing can be asked to allocate what the file does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from coordinator.errors import CoordinatorError

MAX_PARAMETERS = 60_000_000  # as float16 they fill the largest stage that is taken
MAX_CONFIG_BYTES = 8 << 20
_MAX_DEPTH, _MAX_NODES = 60, 400_000
MODELS = {"Functional", "Sequential", "Model"}
LAYERS = {
    *(
        "InputLayer",
        "Dense",
        "Conv2D",
        "DepthwiseConv2D",
        "SeparableConv2D",
        "BatchNormalization",
        "LayerNormalization",
    ),
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Dropout", "SpatialDropout2D", "GaussianNoise"),
    *(
        "MaxPooling2D",
        "AveragePooling2D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "Flatten",
        "Reshape",
        "Permute",
    ),
    *("ZeroPadding2D", "Cropping2D", "UpSampling2D", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
    *("Concatenate", "Rescaling", "Normalization", "Resizing", "UnitNormalization", "GroupNormalization"),
}
INITIALISERS = {
    *("Zeros", "Ones", "Constant", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Identity"),
    *("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Orthogonal"),
}
OTHERS = {
    "L1",
    "L2",
    "L1L2",
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "MinMaxNorm",
    "DTypePolicy",
    "Policy",
    "__keras_tensor__",
}
ACTIVATIONS = {
    *("linear", "relu", "relu6", "softmax", "sigmoid", "tanh", "elu", "selu", "gelu", "swish", "silu", "softplus"),
    *("softsign", "hard_sigmoid", "hard_swish", "hard_silu", "exponential", "leaky_relu", "log_softmax", "mish"),
}
# What a layer multiplies its weights by; each must be a side of some array in the file.
_WIDTHS = ("units", "filters")
_BOUNDED = {  # name -> the most that a single number may be
    **dict.fromkeys(("kernel_size", "pool_size", "strides", "dilation_rate", "padding", "cropping", "size"), 64),
    **dict.fromkeys(("depth_multiplier", "groups"), 4096),
    **dict.fromkeys(("height", "width", "target_shape", "shape"), 1 << 22),
    **dict.fromkeys(("batch_shape", "batch_input_shape"), 1024),
}


def check(config: bytes, weights: list[tuple[int, ...]]) -> None:
    """Refuse what is not built from the lists.

    Args:
        config: the model's JSON.
        weights: shapes of all arrays that the file holds.

    Raises:
        CoordinatorError: ``vetting.damaged``, ``vetting.layer``, ``vetting.external``, ``vetting.parameters``,
            ``vetting.over_limit``.
    """
    if len(config) > MAX_CONFIG_BYTES:
        raise CoordinatorError(
            "vetting.over_limit", what="bytes of the configuration", found=len(config), limit=MAX_CONFIG_BYTES
        )
    total = sum(_size(shape) for shape in weights)
    if total > MAX_PARAMETERS:
        raise CoordinatorError("vetting.parameters", found=total, limit=MAX_PARAMETERS)
    try:
        document = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise CoordinatorError("vetting.damaged", what="configuration") from error
    if not isinstance(document, dict) or document.get("class_name") not in MODELS:
        raise CoordinatorError(
            "vetting.layer", name=_shown(document.get("class_name") if isinstance(document, dict) else None)
        )
    document.pop("compile_config", None)  # how it was trained: never read where a model is loaded with compile=False
    sides = {side for shape in weights for side in shape}
    for node in _nodes(document):
        if "class_name" in node or "registered_name" in node:
            _check_class(node)
        _check_numbers(node, sides)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _shown(name: object) -> str:
    return "".join(c for c in str(name) if c.isalnum() or c in "_.>")[:60] or "without a name"


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    """All objects of the document; no recursion, so that depth is a number here."""
    waiting, seen = [(document, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_NODES:
            raise CoordinatorError("vetting.damaged", what="configuration is too deep or too long")
        if isinstance(value, dict):
            yield value
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]


def _check_class(node: dict[str, Any]) -> None:
    name, module, registered = node.get("class_name"), node.get("module"), node.get("registered_name")
    if name not in MODELS | LAYERS | INITIALISERS | OTHERS:
        raise CoordinatorError("vetting.layer", name=_shown(name))
    if module is not None and not (isinstance(module, str) and (module == "keras" or module.startswith("keras."))):
        raise CoordinatorError("vetting.layer", name=f"{_shown(module)}.{_shown(name)}")
    if registered is not None and registered not in (name, f"keras>{name}"):
        raise CoordinatorError("vetting.layer", name=_shown(registered))


def _check_numbers(node: dict[str, Any], sides: set[int]) -> None:
    for key in ("activation", "recurrent_activation"):
        value = node.get(key)
        if value is not None and (not isinstance(value, str) or value not in ACTIVATIONS):
            raise CoordinatorError("vetting.layer", name=f"{key} {_shown(value)}")
    for key in _WIDTHS:
        value = node.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value not in sides):
            raise CoordinatorError("vetting.parameters", found=_shown(value), limit=MAX_PARAMETERS)
    for key, most in _BOUNDED.items():
        for number in _numbers(node.get(key)):
            if abs(number) > most:
                raise CoordinatorError("vetting.over_limit", what=key, found=_shown(number), limit=most)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list):
        return [number for item in value[:64] for number in _numbers(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []
