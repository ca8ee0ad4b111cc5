"""The read side of the fleet: how a release stands at each node, how each node stands, and where something has drifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.fleet.drift import Alarm, DayCounts, alarms, by_day, summed
from coordinator.fleet.report import health_row, node_row
from coordinator.fleet.rhythm import LOOKED_BACK
from coordinator.fleet.rows import FleetRows, Member
from coordinator.store.database import Database
from protocols.heartbeat import Decline, ReleaseHealth

_SITES_AT_ONCE = 50


@dataclass(frozen=True)
class NodeStanding:
    """How one release stands at one node, as far as the node has said.

    Attributes:
        last_seen: None: never.
        health: None: the node has said nothing of this release.
        decline: why the node does not take it; None: it does, or has not said.
    """

    node: str
    site: str
    groups: tuple[str, ...]
    last_seen: datetime | None
    health: ReleaseHealth | None
    decline: Decline | None


@dataclass(frozen=True)
class SiteAlarm:
    """A drift alarm and where it is."""

    site: str
    disease: str
    release: str
    alarm: Alarm

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        found = asdict(self.alarm)
        for name in ("recent", "earlier"):
            part, whole = found[name]
            found[name] = {"count": part, "of": whole, "rate": round(part / whole, 4)}
        return {"site": self.site, "disease": self.disease, "release": self.release, **found}


class Fleet:
    """Everything that may be asked about the nodes."""

    def __init__(self, database: Database) -> None:
        self._rows = FleetRows(database)

    async def standing(self, release: str) -> list[NodeStanding]:
        """How ``release``, ``model@version``, stands at every enrolled node that is not revoked."""
        return [_standing(member, release) for member in await self._rows.members() if not member.revoked]

    async def overview(self, now: datetime) -> list[dict[str, Any]]:
        """How every enrolled node stands, in the order of joining."""
        heard = await self._rows.days_heard((now - LOOKED_BACK).date())
        return [node_row(member, heard.get(member.node, []), now) for member in await self._rows.members()]

    async def node(self, name: str, now: datetime) -> dict[str, Any]:
        """How one node, by id or name, stands and what it counted on each day.

        Raises:
            CoordinatorError: ``node.unknown``.
        """
        found = await self._rows.members(name)
        if len(found) != 1:
            raise CoordinatorError("node.unknown", name=name)
        history = (await self._rows.history([found[0].node])).get(found[0].node, [])
        days = [{"day": day.isoformat(), "releases": [health_row(h) for h in releases]} for day, releases in history]
        heard = [day for day, _ in history if day >= (now - LOOKED_BACK).date()]
        return {**node_row(found[0], heard, now), "history": days}

    async def alarms(self, now: datetime) -> list[SiteAlarm]:
        """What has drifted at which site, by the release in use there; the surest first."""
        sites: dict[str, list[str]] = {}
        for member in await self._rows.members():
            if not member.revoked and member.heartbeat is not None:
                sites.setdefault(member.site or member.name, []).append(member.node)
        found: list[SiteAlarm] = []
        names = list(sites)
        for start in range(0, len(names), _SITES_AT_ONCE):  # a year of a thousand nodes need not be in memory at once
            some = names[start : start + _SITES_AT_ONCE]
            history = await self._rows.history([node for site in some for node in sites[site]])
            for site in some:
                found += _drifted(site, [history.get(node, []) for node in sites[site]], now.date())
        return sorted(found, key=lambda item: item.alarm.p_value)


def _standing(member: Member, release: str) -> NodeStanding:
    told = member.heartbeat
    return NodeStanding(
        member.node,
        member.site,
        member.groups,
        member.last_seen,
        None if told is None else next((h for h in told.releases if h.release == release), None),
        None if told is None else next((d for d in told.declined if d.release == release), None),
    )


def _drifted(
    site: str, nodes: Sequence[Sequence[tuple[date, tuple[ReleaseHealth, ...]]]], today: date
) -> list[SiteAlarm]:
    """The alarms of one site; only releases that are in use by what its nodes said last."""
    in_use = {(h.disease, h.release) for kept in nodes if kept for h in kept[-1][1] if h.active}
    found = []
    for disease, release in sorted(in_use):
        days = summed(_counts(kept, disease, release) for kept in nodes)
        found += [SiteAlarm(site, disease, release, alarm) for alarm in alarms(days, today, len(in_use))]
    return found


def _counts(kept: Sequence[tuple[date, tuple[ReleaseHealth, ...]]], disease: str, release: str) -> list[DayCounts]:
    of_release = [(day, h) for day, releases in kept for h in releases if (h.disease, h.release) == (disease, release)]
    return by_day(of_release)
