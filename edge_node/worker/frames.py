"""Messages on a pipe: two lengths, a JSON object, and the raw bytes that it describes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_HEADER_BYTES = 1 << 20
MAX_BODY_BYTES = 1 << 26  # 256 labels at 35 x 35 locations take 1.3 MB; twenty manifests at most 5 MB

_LENGTHS = struct.Struct(">II")
_TYPES = ("float32", "float64")


class BrokenFrameError(Exception):
    """What arrived is no message: the other side is broken."""


@dataclass(frozen=True)
class Frame:
    """One message."""

    header: dict[str, Any]
    body: bytes = b""


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    """Send a message.

    Raises:
        OSError: nobody reads.
    """
    header = json.dumps(frame.header).encode()
    stream.write(_LENGTHS.pack(len(header), len(frame.body)) + header + frame.body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Wait for a message; None: the other side has closed.

    Raises:
        BrokenFrameError: it is too long, cut off or not JSON.
    """
    lengths = stream.read(_LENGTHS.size)
    if not lengths:
        return None
    if len(lengths) < _LENGTHS.size:
        raise BrokenFrameError
    header_bytes, body_bytes = _LENGTHS.unpack(lengths)
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise BrokenFrameError
    text, body = stream.read(header_bytes), stream.read(body_bytes)
    if len(text) < header_bytes or len(body) < body_bytes:
        raise BrokenFrameError
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenFrameError from error
    if not isinstance(header, dict):
        raise BrokenFrameError
    return Frame(header, body)


def pack(arrays: Sequence[NDArray[Any]]) -> tuple[list[list[Any]], bytes]:
    """Describe arrays of floats as ``[type, shape]`` and join their bytes."""
    described = [[array.dtype.name, list(array.shape)] for array in arrays]
    return described, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def unpack(described: object, body: bytes) -> list[NDArray[Any]]:
    """The arrays that were packed.

    Raises:
        BrokenFrameError: the description does not fit the bytes, or a value is not finite.
    """
    arrays: list[NDArray[Any]] = []
    start = 0
    if not isinstance(described, list):
        raise BrokenFrameError
    for item in described:
        match item:
            case [str(name), [*shape]] if name in _TYPES and all(type(n) is int and 0 <= n < 1 << 20 for n in shape):
                size_bytes = np.dtype(name).itemsize
                for side in shape:
                    size_bytes *= side
            case _:
                raise BrokenFrameError
        if start + size_bytes > len(body):
            raise BrokenFrameError
        array = np.frombuffer(body[start : start + size_bytes], dtype=name).reshape(shape)
        if not np.isfinite(array).all():
            raise BrokenFrameError
        arrays.append(array)
        start += size_bytes
    if start != len(body):
        raise BrokenFrameError
    return arrays
