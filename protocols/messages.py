"""Messages on the coordinator-node websocket: small JSON objects, read strictly.

The coordinator only *tells* ("there is something new"); nodes fetch by themselves, so a lost notice costs nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from protocols.errors import ProtocolError

WIRE_VERSION = 1
MAX_MESSAGE_BYTES = 16 * 1024
PING_INTERVAL_S = 300.0  # a ping every 20 s would cost a thin line up to 1 MB a day


@dataclass(frozen=True)
class Hello:
    """A node's first message: the versions it speaks and runs."""

    program: str
    wire_version: int = WIRE_VERSION


@dataclass(frozen=True)
class CatalogueNotice:
    """The catalogue has reached ``serial``; whoever has seen less should look."""

    serial: int


Message = Hello | CatalogueNotice


def encode(message: Message) -> str:
    """The wire form."""
    match message:
        case Hello(program, wire_version):
            document: dict[str, object] = {"type": "hello", "program": program, "wire_version": wire_version}
        case CatalogueNotice(serial):
            document = {"type": "catalogue", "serial": serial}
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
        case {"type": "catalogue", "serial": int(serial)} if 0 <= serial < 2**53:
            return CatalogueNotice(serial)
    raise ProtocolError("message.malformed")
