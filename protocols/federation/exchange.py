"""How a head travels: as float16, or the way up as int8 of the change with one scale a column, that is a label of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError
from protocols.federation.head import Head, HeadShape, Standard, flat

Exchange = Literal["float16", "int8"]
EXCHANGES: tuple[Exchange, ...] = ("float16", "int8")
Arrays = dict[str, NDArray[np.generic]]
_LARGEST = 6e4  # of float16


def pack_head(head: Head) -> Arrays:
    """A shared head on its way down, float16."""
    return {name: _half(value) for name, value in head.arrays().items()}


def unpack_head(arrays: Arrays, body: Mapping[str, tuple[int, ...]] | None = None) -> Head:
    """What every site reads from ``pack_head``; the coordinator goes on from the same.

    Args:
        arrays: as they came.
        body: shapes of the body's arrays that are expected; None: of a linear head.

    Raises:
        ProtocolError: ``federation.reply_*``.
    """
    weights = arrays.get("weights")
    if weights is None or weights.ndim != 2:
        raise ProtocolError("federation.reply_shape")
    shape = HeadShape(weights.shape[0], weights.shape[1], body or {})
    require(arrays, {name: ("float16", wanted) for name, wanted in _shapes(shape).items()})
    return Head.of_arrays({name: value.astype(np.float32) for name, value in arrays.items()})


def pack_standard(standard: Standard) -> Arrays:
    """The shared coordinates."""
    return {"mean": _half(standard.mean), "scale": _half(standard.scale)}


def unpack_standard(arrays: Arrays, features: int) -> Standard:
    """Read ``pack_standard``.

    Raises:
        ProtocolError: ``federation.reply_*``.
    """
    require(arrays, {"mean": ("float16", (features,)), "scale": ("float16", (features,))})
    if not (arrays["scale"].astype(np.float32) > 0).all():
        raise ProtocolError("federation.reply_not_finite")
    return Standard(arrays["mean"].astype(np.float32), arrays["scale"].astype(np.float32))


def pack_change(new: Head, shared: Head, exchange: Exchange) -> Arrays:
    """What a site learned, as the difference to the shared head."""
    before = shared.arrays()
    changes = {name: value - before[name] for name, value in new.arrays().items()}
    found: Arrays = {}
    for name, change in changes.items():
        if exchange == "float16":
            found[name] = _half(change)
        elif change.ndim == 1:
            found[name] = change.astype(np.float32)
        else:
            scale = np.maximum(np.abs(change).max(axis=0) / 127, 1e-12).astype(np.float32)
            found[name] = np.clip(np.rint(change / scale), -127, 127).astype(np.int8)
            found[_scale(name)] = scale
    return found


def expected_change(shape: HeadShape, exchange: Exchange) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Key -> dtype and shape of ``pack_change``."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, wanted in _shapes(shape).items():
        if exchange == "float16":
            found[name] = ("float16", wanted)
        elif len(wanted) == 1:
            found[name] = ("float32", wanted)
        else:
            found[name] = ("int8", wanted)
            found[_scale(name)] = ("float32", wanted[1:])
    return found


def unpack_change(arrays: Arrays, shape: HeadShape, exchange: Exchange) -> NDArray[np.float64]:
    """The change of a head, flat, float64; refuses everything that is not exactly that.

    Raises:
        ProtocolError: ``federation.reply_keys``, ``…_dtype``, ``…_shape`` or ``…_not_finite``.
    """
    require(arrays, expected_change(shape, exchange))
    found = {name: arrays[name].astype(np.float64) for name in _shapes(shape)}
    for name, change in found.items():
        if exchange == "int8" and change.ndim == 2:
            change *= arrays[_scale(name)].astype(np.float64)
    return flat({name: found[name] for name in shape.body}, found["weights"], found["bias"])


def _shapes(shape: HeadShape) -> dict[str, tuple[int, ...]]:
    return {"weights": (shape.features, shape.labels), "bias": (shape.labels,), **shape.body}


def _scale(name: str) -> str:
    return "scale" if name == "weights" else f"{name}.scale"


def require(arrays: Arrays, expected: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """Refuse arrays that have other keys, dtypes or shapes, or numbers that are none.

    Raises:
        ProtocolError: ``federation.reply_keys``, ``…_dtype``, ``…_shape`` or ``…_not_finite``.
    """
    if set(arrays) != set(expected):
        raise ProtocolError("federation.reply_keys")
    for key, (dtype, shape) in expected.items():
        if arrays[key].dtype != np.dtype(dtype):
            raise ProtocolError("federation.reply_dtype")
        if arrays[key].shape != tuple(shape):
            raise ProtocolError("federation.reply_shape")
        if not np.isfinite(arrays[key].astype(np.float64)).all():
            raise ProtocolError("federation.reply_not_finite")


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)
