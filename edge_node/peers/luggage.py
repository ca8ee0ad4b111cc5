"""Other nodes' heartbeats on their way to the coordinator: the newest of each, few, and not for long. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

MOST_NODES = 64
KEPT = timedelta(days=7)
_NODE = re.compile(r"[0-9a-f]{16}")


class Luggage:
    """Kept in memory: a node without a line gives its newest again every hour."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[datetime, bytes]] = {}

    def put(self, node: str, sealed: bytes, now: datetime) -> None:
        """Take along what ``node``, by its certificate, gave; where there is no room, the one given longest ago goes."""
        if _NODE.fullmatch(node) is None:
            return
        self._kept.pop(node, None)
        if len(self._kept) >= MOST_NODES:
            del self._kept[next(iter(self._kept))]
        self._kept[node] = now, sealed

    def waiting(self, now: datetime) -> list[tuple[str, bytes]]:
        """What is to be brought; what is too old is forgotten."""
        self._kept = {node: (since, sealed) for node, (since, sealed) in self._kept.items() if now - since < KEPT}
        return [(node, sealed) for node, (_, sealed) in self._kept.items()]

    def brought(self, node: str, sealed: bytes) -> None:
        """The coordinator has it; a newer one that came meanwhile stays."""
        if node in self._kept and self._kept[node][1] == sealed:
            del self._kept[node]
