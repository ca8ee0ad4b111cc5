"""Messages on the coordinator-node websocket: small JSON objects, read strictly.

The coordinator only *tells* ("there is something new"); nodes fetch by themselves, so a lost notice costs nothing. Nodes
send batches of results as binary frames (``protocols.results.batch``), each answered by a receipt once it is committed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from protocols.errors import ProtocolError

WIRE_VERSION = 1
MAX_MESSAGE_BYTES = 16 * 1024
PING_INTERVAL_S = 300.0  # a ping every 20 s would cost a thin line up to 1 MB a day
_MAX_FORMATS = 16
_FORMAT = re.compile(r"[a-z0-9./-]{1,40}")
_BATCH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Hello:
    """A node's first message: the versions it speaks and runs."""

    program: str
    wire_version: int = WIRE_VERSION


@dataclass(frozen=True)
class CatalogueNotice:
    """The catalogue has reached ``serial``; whoever has seen less should look.

    ``accepts`` names the formats of binary frames that the coordinator takes; an older one takes none and says nothing.
    """

    serial: int
    accepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """The batch with this id (``results.batch.batch_id``) is committed; it need not be sent again."""

    batch: str


Message = Hello | CatalogueNotice | Receipt


def encode(message: Message) -> str:
    """The wire form."""
    match message:
        case Hello(program, wire_version):
            document: dict[str, object] = {"type": "hello", "program": program, "wire_version": wire_version}
        case CatalogueNotice(serial, accepts):
            document = {"type": "catalogue", "serial": serial, **({"accepts": list(accepts)} if accepts else {})}
        case Receipt(batch):
            document = {"type": "receipt", "batch": batch}
    return json.dumps(document, separators=(",", ":"))


def decode(data: str | bytes) -> Message:
    """Read a message.

    Raises:
        ProtocolError: ``message.malformed``, or ``message.version`` for a future protocol.
    """
    if isinstance(data, bytes) or len(data) > MAX_MESSAGE_BYTES:
        raise ProtocolError("message.malformed")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("message.malformed") from error
    match document:
        case {"type": "hello", "program": str(program), "wire_version": int(version)} if len(program) <= 60:
            if version > WIRE_VERSION:
                raise ProtocolError("message.version", version=version)
            return Hello(program, version)
        case {"type": "catalogue", "serial": int(serial), **more} if 0 <= serial < 2**53:
            return CatalogueNotice(serial, _formats(more.get("accepts", [])))
        case {"type": "receipt", "batch": str(batch)} if _BATCH.fullmatch(batch):
            return Receipt(batch)
    raise ProtocolError("message.malformed")


def _formats(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_FORMATS:
        raise ProtocolError("message.malformed")
    if not all(isinstance(x, str) and _FORMAT.fullmatch(x) for x in value):
        raise ProtocolError("message.malformed")
    return tuple(value)
