"""Which of the announced services are this node's own coordinator and other nodes of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge_node.identity import tls
from protocols.discovery import Announcement

_PROBE_TIMEOUT_S = 3.0
_PROBES_AT_ONCE = 8


class Probe(Protocol):
    """Finds out who really answers at an address."""

    async def proves(self, host: str, port: int) -> bool:
        """Whether the pinned coordinator is there: by a TLS handshake that believes the pinned CA only."""
        ...

    async def proves_peer(self, host: str, port: int) -> bool:
        """Whether a node with a certificate of the pinned CA is there, also one that has ended."""
        ...


@dataclass(frozen=True)
class Found:
    """A service as listed by ``discover``."""

    announcement: Announcement
    trusted: bool

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        heard = self.announcement
        return {
            "role": heard.role,
            "id": heard.id,
            "host": heard.host,
            "port": heard.port,
            "node_port": heard.node_port,
            "trusted": self.trusted,
        }


async def assess(heard: Sequence[Announcement], ca_sha256: str | None, probe: Probe) -> list[Found]:
    """Trusted is a coordinator that claims the pinned CA's fingerprint *and* proves it, and a peer that proves to be a
    node of it; a claim alone is worth nothing.

    Args:
        heard: announcements; anyone may have sent them.
        ca_sha256: fingerprint of the pinned CA; None for a node that has not joined.
        probe: makes the proof.
    """
    gate = asyncio.Semaphore(_PROBES_AT_ONCE)

    async def judge(one: Announcement) -> Found:
        if ca_sha256 is None or (one.role == "coordinator" and one.id != ca_sha256[:16]):
            return Found(one, trusted=False)
        async with gate:
            if one.role == "peer":
                return Found(one, await probe.proves_peer(one.host, one.port))
            return Found(one, await probe.proves(one.host, one.port))

    found = await asyncio.gather(*(judge(one) for one in heard))
    return sorted(found, key=lambda f: (not f.trusted, f.announcement.role, f.announcement.host, f.announcement.port))


class TlsProbe:
    """Shakes hands with an address, believing the pinned CA only."""

    def __init__(self, ca_pem: str, credentials: Path) -> None:
        """Args: credentials: this node's key and certificate, which peers want to see."""
        self._coordinator = tls.pinned(ca_pem)
        self._peers = tls.for_peers(ca_pem, credentials, ssl.PROTOCOL_TLS_CLIENT)

    async def proves(self, host: str, port: int) -> bool:
        """Whether our coordinator's certificate is there."""
        return await _shakes_hands(host, port, self._coordinator, tls.SERVER_NAME)

    async def proves_peer(self, host: str, port: int) -> bool:
        """Whether a certificate of our coordinator's CA is there."""
        return await _shakes_hands(host, port, self._peers, "")


async def _shakes_hands(host: str, port: int, context: ssl.SSLContext, name: str) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    except (OSError, ssl.SSLError, TimeoutError):
        return False
    writer.close()
    return True


class NoProbe:
    """For a node that has not joined: nothing is proved."""

    async def proves(self, host: str, port: int) -> bool:
        """Nothing."""
        return False

    async def proves_peer(self, host: str, port: int) -> bool:
        """Nothing."""
        return False
