"""What was last verified of another network, and the rules by which news is taken into it. Pure.

TUF protects the metadata. What it leaves to the application is here: a first contact with an old repository, a clock that is
wrong, and the rollout document's rising serial, each bound to the keys under which it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.errors import CoordinatorError
from protocols.trust import TIMESTAMP_DAYS, Rollout

MAX_REVOKED = 2000


@dataclass(frozen=True)
class Seen:
    """What the signed repository proved just now.

    Attributes:
        document: the rollout document's bytes.
        rollout: the same, read.
        rollout_keys: ids of the keys that may sign it.
        timestamp_expires: the timestamp's expiry.
        expires: the expiry of each role that was relied on.
    """

    document: bytes
    rollout: Rollout
    rollout_keys: frozenset[str]
    timestamp_expires: datetime
    expires: Mapping[str, datetime]


@dataclass(frozen=True)
class Record:
    """What is believed of a network.

    Attributes:
        document: its rollout document.
        rollout_keys: who may sign it.
        time_floor: it is certainly not earlier than this.
        verified: when it was last verified.
        revoked: its releases that must not be used, with its reasons; never shorter under the same keys.
    """

    document: bytes
    rollout_keys: frozenset[str]
    time_floor: datetime
    verified: datetime
    revoked: Mapping[str, str]

    @property
    def rollout(self) -> Rollout:
        """The rollout document, read."""
        return Rollout.from_bytes(self.document)


def take_in(former: Record | None, seen: Seen, least_serial: int, now: datetime) -> Record:
    """The record after ``seen``.

    Raises:
        CoordinatorError: ``upstream.expired`` or ``upstream.rollback``; the former record stays in force.
    """
    same_keys = former is not None and bool(former.rollout_keys & seen.rollout_keys)
    floor = seen.timestamp_expires - timedelta(days=TIMESTAMP_DAYS)
    if former is not None and same_keys:
        floor = max(floor, former.time_floor)
    for role, expires in seen.expires.items():
        if expires <= floor:
            raise CoordinatorError("upstream.expired", detail=role)
    least = max(least_serial, former.rollout.serial if former is not None and same_keys else 0)
    if seen.rollout.serial < least:
        raise CoordinatorError("upstream.rollback", detail=f"{seen.rollout.serial} < {least}")
    revoked = {r.release: r.reason for r in seen.rollout.revoked}
    if former is not None and same_keys:
        revoked = {**dict(list(former.revoked.items())[:MAX_REVOKED]), **revoked}
    return Record(seen.document, seen.rollout_keys, floor, max(now, floor), revoked)
