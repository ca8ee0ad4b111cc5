"""Counting what goes over the wire, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal[
    "metadata", "coordinator", "mirror", "peers_in", "peers_out", "outbox", "heartbeat", "federation", "reserved"
]

WAN: tuple[Kind, ...] = ("metadata", "coordinator", "mirror", "outbox", "heartbeat", "federation", "reserved")
LAN: tuple[Kind, ...] = ("peers_in", "peers_out")


class Traffic:
    """Bytes of HTTP bodies and frames by this process; headers and TLS are not in it."""

    def __init__(self) -> None:
        self._all: dict[str, int] = dict.fromkeys((*WAN, *LAN), 0)
        self._unwritten: dict[str, int] = {}

    def count(self, kind: Kind, size_bytes: int) -> None:
        """Add what just went over the wire."""
        self._all[kind] += size_bytes
        self._unwritten[kind] = self._unwritten.get(kind, 0) + size_bytes

    def take_unwritten(self) -> dict[str, int]:
        """What is not in the ledger yet; from now on it counts as written."""
        taken, self._unwritten = self._unwritten, {}
        return taken

    def give_back(self, taken: Mapping[str, int]) -> None:
        """Writing ``taken`` failed."""
        for kind, size_bytes in taken.items():
            self._unwritten[kind] = self._unwritten.get(kind, 0) + size_bytes

    @property
    def unwritten(self) -> Mapping[str, int]:
        """What is not in the ledger yet."""
        return self._unwritten

    def document(self) -> dict[str, int]:
        """What was received, as ``pull --json`` prints it."""
        kinds = self._all
        return {
            "metadata": kinds["metadata"],
            "coordinator": kinds["coordinator"],
            "mirror": kinds["mirror"],
            "peers": kinds["peers_in"],
        }
