"""Is the network well? What needs a person comes first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import func, select
from starlette.responses import Response

from coordinator.store.tables import (
    datasets,
    federations,
    heartbeats,
    jobs,
    labels,
    nodes,
    quarantine,
    releases,
    results,
    samples,
)
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.texts import mark
from coordinator.web.views import View

STALE = timedelta(days=7)  # a node that nobody heard of for so long is worth a telephone call
_RECENT = timedelta(days=1)
_LITTLE_ROOM = 0.05  # share of the disk that is free
Tone = Literal["bad", "warn"]


@dataclass(frozen=True)
class Alarm:
    """Something that a person should look at: what (``{count}`` filled in), and where."""

    tone: Tone
    text: str
    count: int
    link: str


@dataclass(frozen=True)
class Counts:
    """What the store says, counted."""

    nodes: int
    stale: int
    never: int
    drifted: int
    paused: int
    proposed: int
    failed_jobs: int
    waiting_jobs: int
    unmapped: int
    quarantined: int
    failed_runs: int
    free_share: float


_NEVER = mark("Sites that have never been heard of since they joined: {count}")
_STALE = mark("Sites not heard of for more than a week: {count}")


def alarms(counts: Counts) -> list[Alarm]:
    """What is not well, the gravest first. Pure."""
    told: list[tuple[Tone, str, int, str]] = [
        ("bad", mark("The disk is nearly full: {count} % free"), 0, "/"),
        ("bad", mark("Releases that are paused: {count}"), counts.paused, "/releases?state=paused"),
        ("bad", mark("Jobs that failed since yesterday: {count}"), counts.failed_jobs, "/jobs?state=failed"),
        ("bad", mark("Federated runs that failed: {count}"), counts.failed_runs, "/federation"),
        ("warn", mark("Rates that have risen at a site: {count}"), counts.drifted, "/sites/drift"),
        ("warn", _STALE, counts.stale, "/sites?state=stale"),
        ("warn", _NEVER, counts.never, "/sites?state=never"),
        ("warn", mark("Releases that wait for approval: {count}"), counts.proposed, "/releases?state=proposed"),
        ("warn", mark("Images that wait for a person's look: {count}"), counts.quarantined, "/datasets"),
        ("warn", mark("Labels without a knowledge base entry: {count}"), counts.unmapped, "/datasets"),
    ]
    found = [Alarm(*row) for row in told[1:] if row[2]]
    if counts.free_share < _LITTLE_ROOM:
        found.insert(0, Alarm("bad", told[0][1], int(counts.free_share * 100), "/"))
    return found


def rows(desk: Desk) -> list[Page]:
    """The row."""

    async def overview(view: View) -> Response:
        now = desk.clock()
        usage = shutil.disk_usage(desk.home.base)
        drifted = len(await desk.drifting.known())
        counts, tiles, newest = await _read(desk, now, usage.free / usage.total, drifted)
        return view.render(
            "overview.html", alarms=alarms(counts), counts=counts, tiles=tiles, newest=newest, free=usage.free
        )

    return [Page("GET", "/", overview, frozenset({"view"}))]


async def _read(desk: Desk, now: datetime, free_share: float, drifted: int) -> tuple[Counts, dict[str, int], list[Any]]:
    old = (now - STALE).isoformat(timespec="seconds")
    recent = (now - _RECENT).isoformat(timespec="seconds")
    heard = func.max(func.coalesce(nodes.c.last_seen, ""), func.coalesce(heartbeats.c.seen, ""))
    joined = nodes.outerjoin(heartbeats)
    async with desk.database.read() as connection:

        async def count(table: Any, *where: Any) -> int:
            return int(await connection.scalar(select(func.count()).select_from(table).where(*where)) or 0)

        counts = Counts(
            nodes=await count(nodes, ~nodes.c.revoked),
            stale=await count(joined, ~nodes.c.revoked, heard != "", heard < old),
            never=await count(joined, ~nodes.c.revoked, heard == ""),
            drifted=drifted,
            paused=await count(releases, releases.c.state == "paused"),
            proposed=await count(releases, releases.c.state == "proposed"),
            failed_jobs=await count(jobs, jobs.c.state == "failed", jobs.c.ended > recent),
            waiting_jobs=await count(jobs, jobs.c.state.in_(("queued", "running"))),
            unmapped=await count(labels, labels.c.entry.is_(None), labels.c.kind != "normal"),
            quarantined=await count(quarantine),
            failed_runs=await count(federations, federations.c.state == "failed", federations.c.created > recent),
            free_share=free_share,
        )
        tiles = {
            "datasets": await count(datasets),
            "images": await count(samples),
            "offered": await count(releases, releases.c.state == "released"),
            "results": await count(results, results.c.received > recent),
        }
        newest = (
            await connection.execute(select(releases).order_by(releases.c.created.desc(), releases.c.name).limit(6))
        ).all()
    return counts, tiles, list(newest)
