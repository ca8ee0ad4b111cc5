"""Where a node's trust starts. Imports nothing, since every command reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Anchor:
    """Where trust starts: told by the invite and by the certificate that the coordinator issued.

    Attributes:
        coordinator: SHA-256 of the pinned CA; the record is kept under it.
        joined: when the coordinator issued the first certificate, by its clock.
        least_serial: no rollout document below it is believed.
        node: this node's id.
        groups: the groups of sites that this node belongs to.
    """

    coordinator: str
    joined: datetime
    least_serial: int
    node: str
    groups: frozenset[str]
