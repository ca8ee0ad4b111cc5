"""What peers say to each other on a websocket: small JSON texts, and chunks as binary frames. Pure, read strictly.

Both sides may ask and answer. Nothing that a peer says is believed: chunks are checked against signed digests, and the
rest only decides what is asked of whom. The artifact's digest and the chunk's number name everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from protocols.artifacts import MAX_ARTIFACT_BYTES, is_sha256
from protocols.chunks import CHUNK_BYTES, count
from protocols.errors import ProtocolError
from protocols.heartbeat import MAX_FRAME_BYTES as MAX_HEARTBEAT_BYTES

WIRE_VERSION = 1
MAX_CHUNKS = count(MAX_ARTIFACT_BYTES)
_HEADER_BYTES = 36  # digest and number
MAX_FRAME_BYTES = _HEADER_BYTES + CHUNK_BYTES
_MAX_SEALED = 2 * MAX_HEARTBEAT_BYTES  # hexadecimal
_MAX_TEXT = 2048 + _MAX_SEALED
_INSTANCE = re.compile(r"[0-9a-f]{16}")
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True)
class Greeting:
    """The first message of each side.

    Attributes:
        instance: drawn anew by each process; it names no node.
        gives: the sender gives others what it holds.
        carries: it brings others' heartbeats to the coordinator; an older one says nothing of it and does not.
    """

    instance: str
    gives: bool = True
    wire: int = WIRE_VERSION
    carries: bool = False


@dataclass(frozen=True)
class Want:
    """The sender fetches this artifact and wants to hear who holds what of it."""

    artifact: str


@dataclass(frozen=True)
class Done:
    """The sender does not fetch this artifact any longer."""

    artifact: str


@dataclass(frozen=True)
class Have:
    """Which chunks the sender holds: a bit each, the lowest for the first chunk; -1: all of them."""

    artifact: str
    chunks: int

    def holds(self, index: int) -> bool:
        """Whether the sender says that it holds this chunk."""
        return self.chunks < 0 or bool(self.chunks >> index & 1)


@dataclass(frozen=True)
class Gained:
    """The sender now holds this chunk too."""

    artifact: str
    chunk: int


@dataclass(frozen=True)
class Claim:
    """The sender is fetching this chunk from the coordinator and has so many bytes of it; others need not."""

    artifact: str
    chunk: int
    size: int


@dataclass(frozen=True)
class Unclaim:
    """The sender could not fetch the chunk after all."""

    artifact: str
    chunk: int


@dataclass(frozen=True)
class Get:
    """Please send this chunk."""

    artifact: str
    chunk: int


@dataclass(frozen=True)
class Lack:
    """The chunk asked for is not here."""

    artifact: str
    chunk: int


@dataclass(frozen=True)
class Distrust:
    """What the receiver sends is wrong or does not come; the sender asks it for nothing any longer."""

    artifact: str


@dataclass(frozen=True)
class Carry:
    """Please bring this heartbeat of the sender, which has no line, to the coordinator: sealed to it, hexadecimal."""

    sealed: str


Message = Carry | Greeting | Want | Done | Have | Gained | Claim | Unclaim | Get | Lack | Distrust
_KINDS: dict[str, type[Message]] = {
    "peer": Greeting,
    "carry": Carry,
    "want": Want,
    "done": Done,
    "have": Have,
    "gained": Gained,
    "claim": Claim,
    "unclaim": Unclaim,
    "get": Get,
    "lack": Lack,
    "distrust": Distrust,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _natural(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value < most


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "instance": lambda value: isinstance(value, str) and _INSTANCE.fullmatch(value) is not None,
    "gives": lambda value: isinstance(value, bool),
    "wire": _natural(2**31),
    "carries": lambda value: isinstance(value, bool),
    "sealed": lambda value: isinstance(value, str) and len(value) <= _MAX_SEALED and _HEX.fullmatch(value) is not None,
    "artifact": is_sha256,
    "chunk": _natural(MAX_CHUNKS),
    "size": _natural(CHUNK_BYTES + 1),
}


def encode(message: Message) -> str:
    """The wire form."""
    document = asdict(message)
    if isinstance(message, Have):
        document["chunks"] = "all" if message.chunks < 0 else f"{message.chunks:x}"
    return json.dumps({"type": _NAMES[type(message)], **document}, separators=(",", ":"))


def decode(text: str) -> Message:
    """Read a message.

    Raises:
        ProtocolError: ``message.malformed``, or ``message.version`` for a future protocol.
    """
    try:
        document: Any = json.loads(text) if len(text) <= _MAX_TEXT else None
        kind = _KINDS[document.pop("type")]
        if kind is Greeting:
            document.setdefault("carries", False)
        if kind is Have:
            document["chunks"] = _bits(document["chunks"])
        fields = {name: document[name] for name in kind.__dataclass_fields__}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError("message.malformed") from error
    if not all(_FIELDS[name](value) for name, value in fields.items() if name != "chunks"):
        raise ProtocolError("message.malformed")
    message = kind(**fields)
    if isinstance(message, Greeting) and message.wire > WIRE_VERSION:
        raise ProtocolError("message.version", version=message.wire)
    return message


def _bits(text: Any) -> int:
    if text == "all":
        return -1
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]+", text) or len(text) * 4 > MAX_CHUNKS + 4:
        raise ValueError
    return int(text, 16)


def encode_chunk(artifact: str, chunk: int, data: bytes) -> bytes:
    """A chunk as a binary frame."""
    return bytes.fromhex(artifact) + chunk.to_bytes(4, "big") + data


def decode_chunk(frame: bytes) -> tuple[str, int, bytes]:
    """Artifact, number and bytes of a chunk; the bytes are not to be believed.

    Raises:
        ProtocolError: ``message.malformed``.
    """
    if not _HEADER_BYTES <= len(frame) <= MAX_FRAME_BYTES:
        raise ProtocolError("message.malformed")
    return frame[:32].hex(), int.from_bytes(frame[32:_HEADER_BYTES], "big"), frame[_HEADER_BYTES:]
