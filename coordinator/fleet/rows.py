"""Heartbeats in the database: the newest of each node, and the last of each of its days, 400 days back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Table, bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store.database import Database
from coordinator.store.tables import heartbeat_days, heartbeats, nodes
from protocols.heartbeat import Heartbeat, ReleaseHealth, read_heartbeat, read_releases

KEPT = timedelta(days=400)
Via = Literal["line", "peer", "parcel"]


@dataclass(frozen=True)
class Arrival:
    """A heartbeat that was verified to be the node's own, and by which way it came."""

    node: str
    heartbeat: Heartbeat
    via: Via


@dataclass(frozen=True)
class Member:
    """An enrolled node with the newest that is known of it.

    Attributes:
        last_seen: when it was certainly alive; None: never since it was enrolled.
        heartbeat: None: it has sent none.
    """

    node: str
    name: str
    site: str
    groups: tuple[str, ...]
    revoked: bool
    enrolled: datetime
    last_seen: datetime | None
    heartbeat: Heartbeat | None
    via: Via | None
    received: datetime | None


class FleetRows:
    """Keeps heartbeats and reads them back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept: date | None = None

    async def keep(self, arrivals: Sequence[tuple[str, Arrival]], now: datetime) -> set[str]:
        """Commit heartbeats together; returns the senders of which nothing was taken, since they are not enrolled.

        The highest serial counts. An older one is history where nothing is known of its day, and else nothing. Times in the
        future are those of a wrong clock: they count as now.

        Args:
            arrivals: who sent each, the node itself or one that carries it.
            now: when they came.
        """
        concerned = {sender for sender, _ in arrivals} | {arrival.node for _, arrival in arrivals}
        async with self._database.begin() as connection:
            enrolled = set(
                await connection.scalars(select(nodes.c.id).where(nodes.c.id.in_(concerned), ~nodes.c.revoked))
            )
            taken = [a for sender, a in arrivals if {sender, a.node} <= enrolled]
            if taken:
                await self._write(connection, taken, now)
            await self._sweep(connection, now)
        return {sender for sender, _ in arrivals} - enrolled

    async def _write(self, connection: AsyncConnection, taken: Sequence[Arrival], now: datetime) -> None:
        current, days, seen = [], [], []
        for arrival in taken:
            document = arrival.heartbeat.document()
            alive = now if arrival.via == "line" else min(arrival.heartbeat.sent, now)
            row = {"node": arrival.node, "serial": arrival.heartbeat.serial}
            stamps = {"received": _text(now), "seen": _text(alive)}
            current.append({**row, **stamps, "via": arrival.via, "document": document})
            seen.append({"who": arrival.node, "when": _text(alive)})
            if now - alive < KEPT:
                days.append({**row, "day": alive.date().isoformat(), "releases": document["releases"]})
        await connection.execute(_newer(connection, heartbeats, ["node"]), current)
        if days:
            await connection.execute(_newer(connection, heartbeat_days, ["node", "day"]), days)
        later = or_(nodes.c.last_seen.is_(None), nodes.c.last_seen < bindparam("when"))
        await connection.execute(
            update(nodes).where(nodes.c.id == bindparam("who"), later).values(last_seen=bindparam("when")), seen
        )

    async def _sweep(self, connection: AsyncConnection, now: datetime) -> None:
        """Once a day, forget what is too old."""
        if self._swept != now.date():
            before = (now - KEPT).date().isoformat()
            await connection.execute(delete(heartbeat_days).where(heartbeat_days.c.day < before))
            self._swept = now.date()

    async def members(self, node: str | None = None) -> list[Member]:
        """Enrolled nodes in the order of joining, or only the one with this id or name."""
        query = (
            select(nodes, heartbeats.c.document, heartbeats.c.via, heartbeats.c.received)
            .outerjoin(heartbeats)
            .order_by(nodes.c.enrolled)
        )
        if node is not None:
            query = query.where((nodes.c.id == node) | (nodes.c.name == node))
        async with self._database.read() as connection:
            return [_member(row) for row in await connection.execute(query)]

    async def days_heard(self, since: date) -> dict[str, list[date]]:
        """The days on which each node was heard of, from ``since`` on, ascending."""
        query = select(heartbeat_days.c.node, heartbeat_days.c.day).where(heartbeat_days.c.day >= since.isoformat())
        found: dict[str, list[date]] = {}
        async with self._database.read() as connection:
            for node, day in await connection.execute(query.order_by(heartbeat_days.c.day)):
                found.setdefault(node, []).append(date.fromisoformat(day))
        return found

    async def history(self, of: Sequence[str]) -> dict[str, list[tuple[date, tuple[ReleaseHealth, ...]]]]:
        """What was kept of the days of these nodes, ascending."""
        columns = heartbeat_days.c
        query = select(columns.node, columns.day, columns.releases).where(columns.node.in_(of)).order_by(columns.day)
        found: dict[str, list[tuple[date, tuple[ReleaseHealth, ...]]]] = {}
        async with self._database.read() as connection:
            for node, day, releases in await connection.execute(query):
                found.setdefault(node, []).append((date.fromisoformat(day), read_releases(releases)))
        return found


def _insert(connection: AsyncConnection, table: Table) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # with drivers that a small place never loads

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _newer(connection: AsyncConnection, table: Table, key: list[str]) -> Any:
    """An insert that replaces what is there only by a higher serial."""
    insert = _insert(connection, table)
    values: Mapping[str, Any] = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=values, where=table.c.serial < insert.excluded.serial)


def _member(row: Any) -> Member:
    return Member(
        node=row.id,
        name=row.name,
        site=row.site,
        groups=tuple(row.groups),
        revoked=row.revoked,
        enrolled=datetime.fromisoformat(row.enrolled),
        last_seen=None if row.last_seen is None else datetime.fromisoformat(row.last_seen),
        heartbeat=None if row.document is None else read_heartbeat(row.document),
        via=row.via,
        received=None if row.received is None else datetime.fromisoformat(row.received),
    )


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
