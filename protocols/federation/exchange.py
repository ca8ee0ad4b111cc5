"""How a head travels: as float16, or the way up as int8 of the change with one scale a label."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError
from protocols.federation.head import Head, Standard

Exchange = Literal["float16", "int8"]
EXCHANGES: tuple[Exchange, ...] = ("float16", "int8")
Arrays = dict[str, NDArray[np.generic]]
_LARGEST = 6e4  # of float16


def pack_head(head: Head) -> Arrays:
    """A shared head on its way down, float16."""
    return {"weights": _half(head.weights), "bias": _half(head.bias)}


def unpack_head(arrays: Arrays) -> Head:
    """What every site reads from ``pack_head``; the coordinator goes on from the same.

    Raises:
        ProtocolError: ``federation.reply_*``.
    """
    weights = arrays.get("weights")
    if weights is None or weights.ndim != 2:
        raise ProtocolError("federation.reply_shape")
    require(arrays, {"weights": ("float16", weights.shape), "bias": ("float16", weights.shape[1:])})
    return Head(arrays["weights"].astype(np.float32), arrays["bias"].astype(np.float32))


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
    weights, bias = new.weights - shared.weights, new.bias - shared.bias
    if exchange == "float16":
        return {"weights": _half(weights), "bias": _half(bias)}
    scale = np.maximum(np.abs(weights).max(axis=0) / 127, 1e-12).astype(np.float32)
    return {
        "weights": np.clip(np.rint(weights / scale), -127, 127).astype(np.int8),
        "bias": bias.astype(np.float32),
        "scale": scale,
    }


def expected_change(shape: tuple[int, int], exchange: Exchange) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Key -> dtype and shape of ``pack_change``."""
    if exchange == "float16":
        return {"weights": ("float16", shape), "bias": ("float16", shape[1:])}
    return {"weights": ("int8", shape), "bias": ("float32", shape[1:]), "scale": ("float32", shape[1:])}


def unpack_change(arrays: Arrays, shape: tuple[int, int], exchange: Exchange) -> NDArray[np.float64]:
    """The change of a head, flat, float64 [(features + 1) * labels]; refuses everything that is not exactly that.

    Raises:
        ProtocolError: ``federation.reply_keys``, ``…_dtype``, ``…_shape`` or ``…_not_finite``.
    """
    require(arrays, expected_change(shape, exchange))
    weights = arrays["weights"].astype(np.float64)
    if exchange == "int8":
        weights *= arrays["scale"].astype(np.float64)
    return np.concatenate([weights.ravel(), arrays["bias"].astype(np.float64)])


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
