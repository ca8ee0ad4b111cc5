"""The node's own record of what it verified, and the rules by which news is taken into it. Pure.

TUF protects the metadata; this record protects what TUF leaves to the application: a fresh node against an old
repository, a node with a wrong clock, and the rollout document's rising serial. Each memory is bound to the keys under
which it was made, so that a thief of the online key who fast-forwards a number or a date loses it with the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from edge_node.errors import TrustError
from edge_node.identity.anchor import Anchor
from protocols.trust import TIMESTAMP_DAYS, Revocation, Rollout

MAX_REVOKED = 2000


@dataclass(frozen=True)
class Evidence:
    """What the signed repository proved just now.

    Attributes:
        document: the rollout document's bytes.
        rollout: the same, read.
        rollout_keys: ids of the keys that may sign it.
        timestamp_keys: ids of the keys that may sign the timestamp.
        timestamp_expires: the timestamp's expiry.
        expires: the expiry of each role that was relied on.
        timestamp: the timestamp as it was signed.
    """

    document: bytes
    rollout: Rollout
    rollout_keys: frozenset[str]
    timestamp_keys: frozenset[str]
    timestamp_expires: datetime
    expires: Mapping[str, datetime]
    timestamp: bytes = b""


@dataclass(frozen=True)
class TrustRecord:
    """What this node last verified of its coordinator.

    Attributes:
        document: the rollout document's bytes.
        serial: its serial, the highest seen under ``rollout_keys``.
        time_floor: it is certainly not earlier than this.
        verified: when everything was last verified.
        revoked: releases that must not be used, with the publisher's reasons.
    """

    document: bytes
    serial: int
    rollout_keys: frozenset[str]
    timestamp_keys: frozenset[str]
    time_floor: datetime
    verified: datetime
    revoked: Mapping[str, str] = field(default_factory=dict)

    @property
    def rollout(self) -> Rollout:
        """The rollout document, with everything that was ever revoked under the present keys."""
        rollout = Rollout.from_bytes(self.document)
        return replace(rollout, revoked=tuple(Revocation(*item) for item in self.revoked.items()))


def take_in(record: TrustRecord | None, seen: Evidence, anchor: Anchor, now: datetime) -> TrustRecord:
    """The record after ``seen``; ``now`` is what the machine's clock says.

    Raises:
        TrustError: ``trust.clock_behind`` or ``trust.rollback``; the former record stays in force.
    """
    floor = max(_kept_floor(record, seen, anchor), seen.timestamp_expires - timedelta(days=TIMESTAMP_DAYS))
    for role, expires in seen.expires.items():
        if expires <= floor:
            raise TrustError("trust.clock_behind", role=role, floor=floor.date().isoformat())
    same_keys = record is not None and bool(record.rollout_keys & seen.rollout_keys)
    least = max(anchor.least_serial, record.serial if record is not None and same_keys else 0)
    if seen.rollout.serial < least:
        raise TrustError("trust.rollback", detail=f"{seen.rollout.serial} < {least}")
    revoked = {r.release: r.reason for r in seen.rollout.revoked}
    if record is not None and same_keys:
        kept = dict(list(record.revoked.items())[:MAX_REVOKED])
        revoked = {**kept, **revoked}
    return TrustRecord(
        document=seen.document,
        serial=seen.rollout.serial,
        rollout_keys=seen.rollout_keys,
        timestamp_keys=seen.timestamp_keys,
        time_floor=floor,
        verified=max(now, floor),
        revoked=revoked,
    )


def _kept_floor(record: TrustRecord | None, seen: Evidence, anchor: Anchor) -> datetime:
    if record is None or not record.timestamp_keys & seen.timestamp_keys:
        return anchor.joined
    return max(anchor.joined, record.time_floor)
