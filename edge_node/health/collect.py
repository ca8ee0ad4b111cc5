"""From what the node knows of itself to a heartbeat. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_node.cache.events import Event
from edge_node.cache.releases import Quarantined
from edge_node.outbox.store import Counts
from edge_node.trust.standing import Standing
from protocols.heartbeat import Decline, Heartbeat, ReleaseHealth

_MB = 1_000_000


@dataclass(frozen=True)
class Facts:
    """What stands in the node's files.

    Attributes:
        storage_used_bytes, storage_free_bytes: of the cache, and on its disk.
    """

    program: str
    standing: Standing
    outbox: Counts
    health: Sequence[ReleaseHealth]
    declined: Sequence[Decline]
    quarantined: Sequence[Quarantined]
    events: Sequence[Event]
    storage_used_bytes: int
    storage_free_bytes: int


def heartbeat(facts: Facts, serial: int, now: datetime) -> Heartbeat:
    """What the coordinator is told; storage in whole megabytes."""
    counts: dict[str, int] = {}
    for event in facts.events:
        counts[event.code] = counts.get(event.code, 0) + event.count
    return Heartbeat(
        serial=serial,
        sent=now,
        program=facts.program,
        storage_used_bytes=facts.storage_used_bytes // _MB * _MB,
        storage_free_bytes=facts.storage_free_bytes // _MB * _MB,
        outbox_waiting=facts.outbox.queued,
        catalogue_serial=facts.standing.serial,
        releases=tuple(health for health in facts.health if health.active or health.failures),
        declined=tuple(_declined(facts)),
        stale_days=facts.standing.stale_days,
        outbox_refused=facts.outbox.refused,
        events=tuple(counts.items()),
    )


def _declined(facts: Facts) -> list[Decline]:
    """What was decided here, and what failed its self-test, could not be brought into use or crashed."""
    found = {(decline.disease, decline.release): decline for decline in facts.declined}
    crashed = {(mark.disease, mark.name) for mark in facts.quarantined}
    for health in facts.health:
        key = (health.disease, health.release)
        if key in crashed:
            found.setdefault(key, Decline(*key, "failed"))
        elif health.failures and not health.active:
            found.setdefault(key, Decline(*key, "self_test" if health.self_test == "refused" else "failed"))
    return list(found.values())
