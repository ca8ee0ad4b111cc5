"""Cutting what waits for the coordinator into batches and parcels. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from protocols.errors import ProtocolError
from protocols.parcels import MAX_BATCHES, MAX_PARTS, ROOM_BYTES
from protocols.results.batch import MAX_RECORDS, pack
from protocols.results.report import Report

MOST_RECORDS = MAX_PARTS * MAX_BATCHES * MAX_RECORDS
Batch = tuple[bytes, tuple[str, ...]]  # frame, the records in it


def batches(reports: Sequence[Report], alone: Collection[str]) -> list[Batch]:
    """The very frames that the websocket would carry, the oldest records first; each record of ``alone`` in its own."""
    together = [report for report in reports if report.id not in alone]
    groups = [together[start : start + MAX_RECORDS] for start in range(0, len(together), MAX_RECORDS)]
    groups += [[report] for report in reports if report.id in alone]
    return [batch for group in groups for batch in _frames(group)]


def parcels(packed: Sequence[Batch]) -> list[list[Batch]]:
    """Batches by parcel; at least one parcel, since it also says how the node stands. What finds no room waits."""
    parts: list[list[Batch]] = [[]]
    size = 0
    for batch in packed:
        if len(parts[-1]) == MAX_BATCHES or size + len(batch[0]) > ROOM_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(batch)
        size += len(batch[0])
    return parts[:MAX_PARTS]


def _frames(group: Sequence[Report]) -> list[Batch]:
    found: list[Batch] = []
    while group:
        try:
            frame, count = pack(group)
        except ProtocolError:  # one that no frame holds stays where it is; the line's courier tells
            group = group[1:]
            continue
        found.append((frame, tuple(report.id for report in group[:count])))
        group = group[count:]
    return found
