"""How this node stands, without asking anyone: how old its knowledge is, whether the clock can be right, what is revoked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge_node.identity.anchor import Anchor
from edge_node.trust.record import TrustRecord

STALE_DAYS = 14


@dataclass(frozen=True)
class Standing:
    """What recognition, lists and ``status`` say beside their answers.

    Attributes:
        last_verified: when the signed repository was last verified; None: never.
        stale_days: whole days since then.
        time_floor: it is certainly not earlier; None for a node that has not joined.
        clock_behind: the machine's clock says that it is earlier all the same.
        node_revoked: the coordinator has put this node out.
        revoked: releases that must not be used, with the publisher's reasons.
        serial: of the last verified rollout document.
    """

    last_verified: datetime | None = None
    stale_days: int | None = None
    time_floor: datetime | None = None
    clock_behind: bool = False
    node_revoked: bool = False
    revoked: Mapping[str, str] = field(default_factory=dict)
    serial: int | None = None

    @property
    def is_stale(self) -> bool:
        """Whether people should be told."""
        return self.stale_days is not None and self.stale_days > STALE_DAYS

    def staleness(self) -> dict[str, Any]:
        """The JSON form that ``recognise`` and ``status`` share."""
        when = self.last_verified
        return {"last_verified": None if when is None else when.isoformat(timespec="seconds"), "days": self.stale_days}


def standing(anchor: Anchor | None, record: TrustRecord | None, now: datetime) -> Standing:
    """Judge by the record and the machine's clock."""
    if anchor is None:
        return Standing()
    if record is None:
        return Standing(time_floor=anchor.joined, clock_behind=now < anchor.joined)
    floor = max(anchor.joined, record.time_floor)
    rollout = record.rollout
    return Standing(
        last_verified=record.verified,
        stale_days=max((max(now, floor) - record.verified).days, 0),
        time_floor=floor,
        clock_behind=now < floor,
        node_revoked=anchor.node in rollout.revoked_nodes,
        revoked=record.revoked,
        serial=record.serial,
    )
