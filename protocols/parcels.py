"""What travels between nodes and the coordinator by other people's hands: a node's parcel, and the coordinator's receipt. Pure.

Both are signed as ``signatures`` says. What a parcel is about, batches and heartbeat, is sealed to the coordinator's key (the
adapters on both sides do that); carriers see whose it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocols.artifacts import canonical_json, is_sha256
from protocols.errors import ProtocolError
from protocols.heartbeat import Heartbeat, read_heartbeat
from protocols.results import batch
from protocols.signatures import Signed, opened

FORMAT = "medmesh.parcel/3"
SEALED_FOR = b"medmesh.parcel/3 contents"  # HPKE's info, so that what is sealed here opens nowhere else
RECEIPT_FORMAT = "medmesh.receipt/1"
MAX_PARCEL_BYTES = 1024 * 1024
MAX_RECEIPT_BYTES = 16 * 1024
MAX_BATCHES = 64  # in one parcel; 12,800 records
MAX_PARTS = 16  # parcels of one export
ROOM_BYTES = 500 * 1024  # for batches in one parcel, before base64, which comes twice; leaves room for the rest
_MAX_CERTIFICATE = 8 * 1024
_NODE = re.compile(r"[0-9a-f]{16}")
_BATCH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Contents:
    """What only the coordinator reads.

    Attributes:
        node: who wrote it; the same as outside, so that nobody can send another's contents as their own.
        number: the parcel's, for the same reason.
        heartbeat: how the node stands.
        frames: batches of results, as on the node's own line.
    """

    node: str
    number: int
    heartbeat: Heartbeat
    frames: tuple[bytes, ...]

    def data(self) -> bytes:
        """The bytes to seal."""
        return canonical_json(
            {
                "node": self.node,
                "number": self.number,
                "heartbeat": self.heartbeat.document(),
                "batches": [base64.b64encode(frame).decode() for frame in self.frames],
            }
        )


def read_contents(data: bytes, parcel: Parcel) -> Contents:
    """Read what was sealed in ``parcel``; its batches are only bounded here.

    Raises:
        ProtocolError: ``parcel.malformed``.
    """
    try:
        document = json.loads(data)
        frames = tuple(base64.b64decode(text, validate=True) for text in _rows(document["batches"], MAX_BATCHES))
        if any(not 0 < len(frame) <= batch.MAX_FRAME_BYTES for frame in frames):
            raise ValueError
        if (document["node"], document["number"]) != (parcel.node, parcel.number):
            raise ValueError
        return Contents(parcel.node, parcel.number, read_heartbeat(document["heartbeat"]), frames)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, ProtocolError) as error:
        raise ProtocolError("parcel.malformed") from error


@dataclass(frozen=True)
class Parcel:
    """What a node sends by hand.

    Attributes:
        coordinator: fingerprint of the CA that it is for.
        node: who sends it.
        number: rises with every export of the node.
        part: of several parcels of one export.
        certificate: the node's, PEM, for carriers that do not know it.
        sealed: its ``Contents``, for the coordinator's eyes only.
    """

    coordinator: str
    node: str
    number: int
    part: int
    certificate: str
    sealed: bytes

    def body(self) -> bytes:
        """The bytes to sign, without the format's name."""
        return canonical_json(
            {
                "coordinator": self.coordinator,
                "node": self.node,
                "number": self.number,
                "part": self.part,
                "certificate": self.certificate,
                "sealed": base64.b64encode(self.sealed).decode(),
            }
        )


@dataclass(frozen=True)
class PaperReceipt:
    """What the coordinator has for good of a parcel.

    Attributes:
        node: whose parcel it was.
        parcel: SHA-256 of the parcel's bytes.
        batches: ids of those that are committed.
        refused: ids of those that it will not take.
    """

    node: str
    parcel: str
    batches: tuple[str, ...]
    refused: tuple[str, ...]

    def body(self) -> bytes:
        """The bytes to sign, without the format's name."""
        return canonical_json(
            {"node": self.node, "parcel": self.parcel, "batches": list(self.batches), "refused": list(self.refused)}
        )


def parcel_digest(data: bytes) -> str:
    """What a parcel is called."""
    return hashlib.sha256(data).hexdigest()


def read_parcel(data: bytes) -> tuple[Parcel, Signed]:
    """Read a parcel from a stranger; what is sealed in it stays so.

    Raises:
        ProtocolError: ``parcel.malformed``.
    """
    try:
        signed, document = opened(data, FORMAT, MAX_PARCEL_BYTES)
        parcel = Parcel(
            coordinator=_digest(document["coordinator"]),
            node=_match(_NODE, document["node"]),
            number=_count(document["number"]),
            part=_count(document["part"], MAX_PARTS - 1),
            certificate=_text(document["certificate"], _MAX_CERTIFICATE),
            sealed=base64.b64decode(_text(document["sealed"], MAX_PARCEL_BYTES), validate=True),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ProtocolError("parcel.malformed") from error
    return parcel, signed


def read_receipt(data: bytes) -> tuple[PaperReceipt, Signed]:
    """Read a receipt from a stranger.

    Raises:
        ProtocolError: ``parcel.malformed``.
    """
    try:
        signed, document = opened(data, RECEIPT_FORMAT, MAX_RECEIPT_BYTES)
        receipt = PaperReceipt(
            _match(_NODE, document["node"]),
            _digest(document["parcel"]),
            tuple(_match(_BATCH, x) for x in _rows(document["batches"], MAX_BATCHES)),
            tuple(_match(_BATCH, x) for x in _rows(document["refused"], MAX_BATCHES)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ProtocolError("parcel.malformed") from error
    return receipt, signed


def _rows(value: Any, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError
    return value


def _match(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError
    return value


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError
    return value


def _digest(value: Any) -> str:
    if not is_sha256(value):
        raise ValueError
    return str(value)


def _count(value: Any, most: int = 2**53) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError
    return value
