"""Messages on the coordinator-node websocket: small JSON objects, read strictly.

The coordinator only *tells* ("there is something new"); nodes fetch by themselves, so a lost notice costs nothing. Nodes
send batches of results as binary frames (``protocols.results.batch``), each answered by a receipt once it is committed.
A node that serves peers says where; only to such a node is told who else is near, since an older one would not understand.
"""

from __future__ import annotations

import ipaddress
import json
import re
from contextlib import suppress
from dataclasses import dataclass

from protocols.errors import ProtocolError

WIRE_VERSION = 1
MAX_MESSAGE_BYTES = 16 * 1024
PING_INTERVAL_S = 300.0  # a ping every 20 s would cost a thin line up to 1 MB a day
_MAX_FORMATS = 16
_FORMAT = re.compile(r"[a-z0-9./-]{1,40}")
_BATCH = re.compile(r"[0-9a-f]{16}")
MAX_OWN_ADDRESSES = 4
MAX_PEERS = 64


@dataclass(frozen=True)
class Listening:
    """Where a node listens for peers: IP addresses, at most 4, and the port."""

    addresses: tuple[str, ...]
    port: int


@dataclass(frozen=True)
class Hello:
    """A node's first message: the versions it speaks and runs, where it serves peers, if it does, and whether it takes part in
    federated runs; only then is it sent binary frames (``protocols.federation.envelope``).
    """

    program: str
    wire_version: int = WIRE_VERSION
    listening: Listening | None = None
    federates: bool = False


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


@dataclass(frozen=True)
class Neighbours:
    """Addresses at which nodes near this one said that they serve peers, at most 64. A hint, to be believed by nobody."""

    addresses: tuple[tuple[str, int], ...]


Message = Hello | CatalogueNotice | Receipt | Neighbours


def encode(message: Message) -> str:
    """The wire form."""
    match message:
        case Hello(program, wire_version, listening, federates):
            document: dict[str, object] = {"type": "hello", "program": program, "wire_version": wire_version}
            if listening is not None:
                document["peer"] = {"addresses": list(listening.addresses), "port": listening.port}
            if federates:
                document["federates"] = True
        case CatalogueNotice(serial, accepts):
            document = {"type": "catalogue", "serial": serial, **({"accepts": list(accepts)} if accepts else {})}
        case Receipt(batch):
            document = {"type": "receipt", "batch": batch}
        case Neighbours(addresses):
            document = {"type": "neighbours", "addresses": addresses}
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
        case {"type": "hello", "program": str(program), "wire_version": int(version), **more} if len(program) <= 60:
            if version > WIRE_VERSION:
                raise ProtocolError("message.version", version=version)
            listening = _listening(more["peer"]) if "peer" in more else None
            return Hello(program, version, listening, more.get("federates") is True)
        case {"type": "catalogue", "serial": int(serial), **more} if 0 <= serial < 2**53:
            return CatalogueNotice(serial, _formats(more.get("accepts", [])))
        case {"type": "receipt", "batch": str(batch)} if _BATCH.fullmatch(batch):
            return Receipt(batch)
        case {"type": "neighbours", "addresses": list(pairs)} if len(pairs) <= MAX_PEERS:
            return Neighbours(tuple(_pair(pair) for pair in pairs))
    raise ProtocolError("message.malformed")


def _formats(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_FORMATS:
        raise ProtocolError("message.malformed")
    if not all(isinstance(x, str) and _FORMAT.fullmatch(x) for x in value):
        raise ProtocolError("message.malformed")
    return tuple(value)


def _listening(value: object) -> Listening:
    match value:
        case {"addresses": list(addresses), "port": port} if 0 < len(addresses) <= MAX_OWN_ADDRESSES:
            return Listening(tuple(_address(a) for a in addresses), _port(port))
    raise ProtocolError("message.malformed")


def _pair(value: object) -> tuple[str, int]:
    match value:
        case [address, port]:
            return _address(address), _port(port)
    raise ProtocolError("message.malformed")


def _address(value: object) -> str:
    """An IP address in its usual form, without a zone, which means something on one machine only."""
    if isinstance(value, str) and len(value) <= 45 and "%" not in value:
        with suppress(ValueError):
            return str(ipaddress.ip_address(value))
    raise ProtocolError("message.malformed")


def _port(value: object) -> int:
    if type(value) is not int or not 0 < value < 65536:
        raise ProtocolError("message.malformed")
    return value
