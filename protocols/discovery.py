"""What is announced on the local network: as little as possible, and never trusted.

The TXT record holds no hospital, site or disease name. Its ``id`` is the start of the coordinator's CA fingerprint, which
lets an enrolled node recognise *its* coordinator; trust itself comes from the pinned CA and signatures, not from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SERVICE_TYPE = "_medmesh._tcp.local."
MAX_CANDIDATES = 64
Role = Literal["coordinator", "peer"]


@dataclass(frozen=True)
class Announcement:
    """A service as heard, before anything is believed."""

    role: Role
    id: str  # 16 hexadecimal digits
    host: str
    port: int
    node_port: int | None = None


def to_txt(role: Role, identity: str, node_port: int | None = None) -> dict[str, str]:
    """The TXT record's properties."""
    record = {"v": "1", "role": role, "id": identity[:16]}
    return record if node_port is None else {**record, "np": str(node_port)}


def from_txt(properties: dict[bytes, bytes | None], host: str, port: int) -> Announcement | None:
    """Read a record from the network; None for whatever is not ours or not understood."""
    try:
        text = {k.decode("ascii"): (v or b"").decode("ascii") for k, v in properties.items()}
    except UnicodeDecodeError:
        return None
    role, identity, node_port = text.get("role"), text.get("id", ""), text.get("np", "")
    if text.get("v") != "1" or role not in ("coordinator", "peer") or not 0 < port < 65536:
        return None
    if len(identity) != 16 or not all(c in "0123456789abcdef" for c in identity):
        return None
    number = int(node_port) if node_port.isascii() and node_port.isdigit() and len(node_port) <= 5 else None
    return Announcement(
        "coordinator" if role == "coordinator" else "peer",
        identity,
        host,
        port,
        number if number and number < 65536 else None,
    )


class Candidates:
    """The services heard so far, at most 64, so that a flood of forged ones costs nothing."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str, int], Announcement] = {}

    def hear(self, announcement: Announcement) -> None:
        """Keep an announcement if there is room or it is already known."""
        key = (announcement.id, announcement.host, announcement.port)
        if key in self._heard or len(self._heard) < MAX_CANDIDATES:
            self._heard[key] = announcement

    def all(self) -> list[Announcement]:
        """Everything heard, in the order of hearing."""
        return list(self._heard.values())
