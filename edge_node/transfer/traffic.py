"""Counting what came over the wire, by kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SourceKind = Literal["coordinator", "peers"]


@dataclass
class Traffic:
    """Bytes of HTTP bodies and frames received by one command; headers and TLS are not in it."""

    metadata: int = 0
    coordinator: int = 0
    peers: int = 0

    def count(self, kind: SourceKind | Literal["metadata"], size_bytes: int) -> None:
        """Add what just arrived."""
        setattr(self, kind, getattr(self, kind) + size_bytes)

    def document(self) -> dict[str, int]:
        """The counts as ``pull --json`` prints them."""
        return {"metadata": self.metadata, "coordinator": self.coordinator, "peers": self.peers}
