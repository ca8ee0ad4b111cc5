"""Questions and answers of a federated run on the node's websocket: one binary document, cut into small pieces.

A document is a JSON header that lists arrays by name, dtype and shape, and the arrays' bytes. No code, no pickles, nothing
that expands. Pieces stay below the line's usual limit for a message, so that a run needs no wider one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from protocols.errors import ProtocolError
from protocols.federation.exchange import Arrays

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_ANSWER_BYTES = 1024 * 1024
PIECE_BYTES = 15 * 1024
_MAGIC, _PIECE = b"MMFD\x01", b"MMFP\x01"
_LENGTH = struct.Struct(">I")
_PIECE_HEAD = struct.Struct(">8sHH")  # id, index, count
_DTYPES = ("float16", "float32", "int8")
_MAX_ARRAYS = 400  # eight spatial heads have some 30 each
_MAX_NAME = 40
KINDS = ("query", "train", "train.alone", "evaluate")


@dataclass(frozen=True)
class Document:
    """What a Flower message holds, without Flower.

    Attributes:
        id: 8 bytes, of the question; its answer bears the same.
        kind: of the question; empty in an answer.
        arrays: record -> key -> array.
        metrics, configs: record -> name -> value; a configuration may also hold text.
        error: why there is no answer: a code; empty: there is one.
    """

    id: bytes
    kind: str = ""
    arrays: dict[str, Arrays] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str = ""


def pack(document: Document) -> bytes:
    """The bytes of a document."""
    listed, parts = [], []
    for record, arrays in document.arrays.items():
        for key, value in arrays.items():
            listed.append([record, key, value.dtype.name, list(value.shape)])
            parts.append(np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes())
    header = {
        "kind": document.kind,
        "error": document.error,
        "arrays": listed,
        "metrics": document.metrics,
        "configs": document.configs,
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=True).encode()
    return _MAGIC + document.id + _LENGTH.pack(len(text)) + text + b"".join(parts)


def unpack(data: bytes) -> Document:
    """Read a document from a stranger: every length is checked before anything is made.

    Raises:
        ProtocolError: ``federation.document_malformed``.
    """
    start = len(_MAGIC) + 8 + _LENGTH.size
    if len(data) > MAX_DOCUMENT_BYTES or len(data) < start or not data.startswith(_MAGIC):
        raise ProtocolError("federation.document_malformed")
    (length,) = _LENGTH.unpack(data[start - _LENGTH.size : start])
    try:
        header = json.loads(data[start : start + length])
    except (ValueError, RecursionError) as error:
        raise ProtocolError("federation.document_malformed") from error
    match header:
        case {
            "kind": str(kind),
            "error": str(declined),
            "arrays": list(listed),
            "metrics": dict(metrics),
            "configs": dict(configs),
        } if (
            len(listed) <= _MAX_ARRAYS
            and kind in ("", *KINDS)
            and len(declined) <= 80
            and all(isinstance(x, dict) for x in (*metrics.values(), *configs.values()))
        ):
            arrays = _arrays(listed, data[start + length :])
            return Document(data[len(_MAGIC) : len(_MAGIC) + 8], kind, arrays, metrics, configs, declined)
    raise ProtocolError("federation.document_malformed")


def _arrays(listed: list[Any], data: bytes) -> dict[str, Arrays]:
    found: dict[str, Arrays] = {}
    for row in listed:
        match row:
            case [str(record), str(key), str(dtype), list(shape)] if (
                len(record) <= _MAX_NAME
                and len(key) <= _MAX_NAME
                and dtype in _DTYPES
                and len(shape) <= 2
                and all(type(n) is int and 0 <= n < 2**24 for n in shape)
            ):
                pass
            case _:
                raise ProtocolError("federation.document_malformed")
        kind = np.dtype(dtype).newbyteorder("<")
        size = kind.itemsize * int(np.prod([1, *shape], dtype=np.int64))
        if len(data) < size or key in found.get(record, {}):
            raise ProtocolError("federation.document_malformed")
        values = np.frombuffer(data[:size], kind).reshape(shape).astype(np.dtype(dtype))
        found.setdefault(record, {})[key] = values
        data = data[size:]
    if data:
        raise ProtocolError("federation.document_malformed")
    return found


def is_piece(data: bytes) -> bool:
    """Whether a binary frame belongs to a federated run."""
    return data.startswith(_PIECE)


def pieces(data: bytes) -> Iterator[bytes]:
    """A document cut up, in order."""
    count = -(-len(data) // PIECE_BYTES)
    name = data[len(_MAGIC) : len(_MAGIC) + 8]
    for index in range(count):
        yield _PIECE + _PIECE_HEAD.pack(name, index, count) + data[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]


class Reassembly:
    """Puts the pieces of one sender together, one document at a time; never holds more than ``most_bytes``."""

    def __init__(self, most_bytes: int) -> None:
        self._most_pieces = -(-most_bytes // PIECE_BYTES)
        self._name = b""
        self._parts: list[bytes] = []

    def accept(self, piece: bytes) -> bytes | None:
        """Take the next piece; the whole document once it is here.

        Raises:
            ProtocolError: ``federation.document_malformed``: out of order, or too much.
        """
        start = len(_PIECE) + _PIECE_HEAD.size
        if not is_piece(piece) or not start < len(piece) <= start + PIECE_BYTES:
            raise ProtocolError("federation.document_malformed")
        name, index, count = _PIECE_HEAD.unpack(piece[len(_PIECE) : start])
        if index == 0:
            self._name, self._parts = name, []
        if name != self._name or index != len(self._parts) or not index < count <= self._most_pieces:
            self._name, self._parts = b"", []
            raise ProtocolError("federation.document_malformed")
        self._parts.append(piece[start:])
        if len(self._parts) < count:
            return None
        whole = b"".join(self._parts)
        self._name, self._parts = b"", []
        return whole


def id_of(piece: bytes) -> bytes:
    """Which document a piece belongs to; empty where it is none."""
    start = len(_PIECE)
    return piece[start : start + 8] if is_piece(piece) and len(piece) > start + _PIECE_HEAD.size else b""
