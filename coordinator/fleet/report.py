"""How a node stands, as commands and pages show it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from coordinator.fleet.rhythm import staleness, usual_pause_days
from coordinator.fleet.rows import Member
from protocols.heartbeat import Decline, ReleaseHealth

STORAGE_LOW_BYTES = 500_000_000  # a trunk and its heads take 23 MB, an update both versions for a while
_Z = 1.959964  # 95 %


def node_row(member: Member, heard: Sequence[date], now: datetime) -> dict[str, Any]:
    told = member.heartbeat
    silence = staleness(heard, member.last_seen, now)
    row: dict[str, Any] = {
        "node": member.node,
        "name": member.name,
        "site": member.site,
        "groups": list(member.groups),
        "revoked": member.revoked,
        "enrolled": member.enrolled.isoformat(timespec="seconds"),
        "last_seen": None if member.last_seen is None else member.last_seen.isoformat(timespec="seconds"),
        "staleness": silence,
        "usual_pause_days": usual_pause_days(heard),
        "via": member.via,
        "received": None if member.received is None else member.received.isoformat(timespec="seconds"),
        "heartbeat": None,
    }
    if told is None:
        return row
    return {
        **row,
        "heartbeat": {
            "serial": told.serial,
            "sent": told.sent.isoformat(timespec="minutes"),
            "program": told.program,
            "storage": {
                "used_bytes": told.storage_used_bytes,
                "free_bytes": told.storage_free_bytes,
                "low": told.storage_free_bytes < STORAGE_LOW_BYTES,
            },
            "outbox": {"waiting": told.outbox_waiting, "refused": told.outbox_refused},
            "catalogue": {"serial": told.catalogue_serial, "stale_days": told.stale_days},
            "releases": [health_row(health) for health in told.releases],
            "declined": [_decline_row(decline) for decline in told.declined],
            "failures": sum(health.failures for health in told.releases),
            "events": dict(told.events),
        },
    }


def health_row(health: ReleaseHealth) -> dict[str, Any]:
    return {
        "disease": health.disease,
        "release": health.release,
        "active": health.active,
        "since": health.since.isoformat(timespec="minutes"),
        "self_test": health.self_test,
        "failures": health.failures,
        "outcomes": asdict(health.outcomes),
        "confirmed": health.confirmed,
        "agreed": health.agreed,
        "accuracy": accuracy(health.agreed, health.confirmed),
    }


def _decline_row(decline: Decline) -> dict[str, Any]:
    detail = None if decline.detail is None else asdict(decline.detail)
    return {"disease": decline.disease, "release": decline.release, "reason": decline.reason, "detail": detail}


def accuracy(agreed: int, confirmed: int) -> Mapping[str, float] | None:
    """The share of confirmed results that were right, with Wilson's 95 % interval; None: nothing is confirmed.

    Wilson, J Am Stat Assoc 1927;22:209-212.
    """
    if not confirmed:
        return None
    share, z2 = agreed / confirmed, _Z * _Z
    middle = (share + z2 / (2 * confirmed)) / (1 + z2 / confirmed)
    half = _Z * math.sqrt(share * (1 - share) / confirmed + z2 / (4 * confirmed**2)) / (1 + z2 / confirmed)
    return {
        "value": round(share, 4),
        "low": round(max(middle - half, 0.0), 4),
        "high": round(min(middle + half, 1.0), 4),
    }


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of ``node list`` from a row of the overview; ``by_hand`` where the newest came on a stick."""
    told = row["heartbeat"]
    wanted = ("node", "name", "site", "groups", "revoked", "enrolled", "last_seen", "staleness")
    by_hand = None
    if told is not None and row["via"] == "parcel":
        by_hand = {
            "received": row["received"],
            "version": told["program"],
            "releases": [health["release"] for health in told["releases"] if health["active"]],
            "serial": told["catalogue"]["serial"],
            "stale_days": told["catalogue"]["stale_days"],
            "queued": told["outbox"]["waiting"],
            "refused": told["outbox"]["refused"],
            "events": told["events"],
        }
    return {
        **{name: row[name] for name in wanted},
        "version": None if told is None else told["program"],
        "by_hand": by_hand,
    }
