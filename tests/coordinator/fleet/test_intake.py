"""Heartbeats over real lines: kept once, the newest counts, and a node can speak for itself only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update

from coordinator.errors import CoordinatorError
from coordinator.fleet.fleet import Fleet
from coordinator.fleet.intake import HeartbeatIntake
from coordinator.fleet.rows import FleetRows
from coordinator.home import Home
from coordinator.nodes import authority as authorities
from coordinator.nodes.authority import Authority
from coordinator.store.database import Database
from coordinator.store.tables import heartbeat_days, heartbeats, nodes
from protocols.errors import MedMeshError, ProtocolError
from protocols.heartbeat import MAX_FRAME_BYTES, Heartbeat
from tests.support.coordinator import NOW, database, enrol, revoke
from tests.support.heartbeats import HEART, carried, frame, health, public_pem

A, B, STRANGER = "a" * 16, "b" * 16, "c" * 16


class Network:
    """The real intake over the real store; two nodes are enrolled, each with a key."""

    def __init__(self, opened: Database, authority: Authority) -> None:
        self.database = opened
        self.authority = authority
        self.now = NOW
        self.intake = HeartbeatIntake(opened, authority, lambda: self.now)
        self.fleet = Fleet(opened)
        self.keys = {node: ec.generate_private_key(ec.SECP256R1()) for node in (A, B, STRANGER)}

    async def set_key(self, node: str) -> None:
        async with self.database.begin() as connection:
            pem = public_pem(self.keys[node])
            await connection.execute(update(nodes).where(nodes.c.id == node).values(public_key=pem))

    async def send(self, beat: Heartbeat, node: str = A, *, by: str | None = None, key: str | None = None) -> None:
        """``node``'s heartbeat: by its own line, or carried ``by`` another."""
        own = frame(node, beat, self.keys[key or node])
        whole = own if by is None else carried(node, own, self.authority.key.public_key())
        await self.intake.take(by or node, whole)

    async def row(self, node: str = A) -> tuple[int, str, str] | None:
        async with self.database.read() as connection:
            row = (await connection.execute(select(heartbeats).where(heartbeats.c.node == node))).first()
        return None if row is None else (row.serial, row.via, row.seen)

    async def days(self, node: str = A) -> dict[str, int]:
        async with self.database.read() as connection:
            query = select(heartbeat_days.c.day, heartbeat_days.c.serial).where(heartbeat_days.c.node == node)
            return {row.day: row.serial for row in await connection.execute(query)}


@asynccontextmanager
async def network(folder: Path) -> AsyncIterator[Network]:
    home = Home(folder)
    home.keys.mkdir(parents=True)
    authorities.create(home, NOW)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(folder))
        made = Network(opened, Authority.load(home))
        for node in (A, B):
            await enrol(opened, node)
            await made.set_key(node)
        await stack.enter_async_context(made.intake.running())
        yield made


def beat(serial: int, days_ago: float = 0) -> Heartbeat:
    return replace(HEART, serial=serial, sent=NOW - timedelta(days=days_ago))


async def test_the_highest_serial_counts_and_a_replay_changes_nothing(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await net.send(beat(5))
        net.now += timedelta(hours=1)
        for serial in (5, 4, 1):
            await net.send(beat(serial))
        assert await net.row() == (5, "line", NOW.isoformat(timespec="seconds"))
        assert await net.days() == {"2026-02-01": 5}
        await net.send(beat(6))
        row = await net.row()
    assert row is not None and row[0] == 6


async def test_an_older_one_that_was_carried_is_history_where_its_day_is_missing(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await net.send(beat(9))
        await net.send(beat(3, days_ago=5), by=B)
        await net.send(beat(2, days_ago=5), by=B)
        await net.send(beat(1, days_ago=500), by=B)
        assert await net.days() == {"2026-02-01": 9, "2026-01-27": 3}
        assert (await net.row() or ())[:2] == (9, "line")


async def test_a_clock_ahead_makes_no_future(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await net.send(beat(1, days_ago=-900), by=B)
        assert await net.row() == (1, "peer", NOW.isoformat(timespec="seconds"))
        assert list(await net.days()) == ["2026-02-01"]
        (row,) = [x for x in await net.fleet.overview(NOW) if x["node"] == A]
    assert (row["last_seen"], row["staleness"]) == (NOW.isoformat(timespec="seconds"), "fresh")


async def test_what_is_carried_says_when_the_node_was_alive_and_not_when_it_came(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await net.send(beat(1, days_ago=30), by=B)
        (row,) = [x for x in await net.fleet.overview(NOW) if x["node"] == A]
    assert (row["last_seen"], row["staleness"]) == ("2026-01-02T12:00:00+00:00", "lost")


@pytest.mark.parametrize(
    ("node", "key", "sender"), [(A, B, A), (A, A, B), (STRANGER, STRANGER, STRANGER)], ids=["key", "line", "stranger"]
)
async def test_a_node_can_speak_for_itself_only(tmp_path: Path, node: str, key: str, sender: str) -> None:
    async with network(tmp_path) as net:
        with pytest.raises(ProtocolError) as caught:
            await net.intake.take(sender, frame(node, HEART, net.keys[key]))
        assert caught.value.code == "heartbeat.not_its_own"
        assert await net.row() is None and await net.row(B) is None


async def test_what_is_carried_and_not_right_is_dropped_and_no_fault_of_the_carrier(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        authority, own = net.authority.key.public_key(), frame(A, HEART, net.keys[A])
        for hostile in (
            carried(A, frame(A, HEART, net.keys[B]), authority),
            carried(B, own, authority),
            carried(STRANGER, frame(STRANGER, HEART, net.keys[STRANGER]), authority),
            carried(A, own, net.keys[B].public_key()),
            carried(A, b"nonsense", authority),
            carried(A, own, authority)[:-1] + b"x",
        ):
            await net.intake.take(B, hostile)
        assert await net.row() is None
        await net.send(HEART, by=B)
        assert await net.row() is not None


async def test_a_revoked_node_is_turned_away_and_nobody_carries_for_it(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await revoke(net.database, A)
        with pytest.raises(CoordinatorError) as caught:
            await net.send(HEART)
        assert caught.value.code == "node.revoked"
        await net.send(HEART, by=B)
        assert await net.row() is None
        with pytest.raises(CoordinatorError):
            await net.send(HEART, node=B, by=A)


async def test_a_renewed_key_counts_at_once_and_the_former_no_longer(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await net.send(beat(1))
        net.keys[B], net.keys[A] = net.keys[A], ec.generate_private_key(ec.SECP256R1())
        await net.set_key(A)
        await net.send(beat(2))
        with pytest.raises(MedMeshError):
            await net.send(beat(3), key=B)
        assert (await net.row() or ())[0] == 2


@pytest.mark.parametrize("hostile", [b"MMHB\x01", b"MMHB\x01" + b"x" * MAX_FRAME_BYTES, b"MMHC\x01short"])
async def test_malformed_frames_are_refused(tmp_path: Path, hostile: bytes) -> None:
    async with network(tmp_path) as net:
        with pytest.raises(ProtocolError):
            await net.intake.take(A, hostile)


async def test_history_ends_after_400_days(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        rows = FleetRows(net.database)
        for serial in range(1, 4):
            await net.send(beat(serial))
            net.now += timedelta(days=200)
        assert sorted(await net.days()) == ["2026-02-01", "2026-08-20", "2027-03-08"]
        await rows.keep([], net.now)
        assert sorted(await net.days()) == ["2026-08-20", "2027-03-08"]


async def test_how_a_release_stands_at_each_node(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        await net.send(replace(HEART, releases=(health("malaria@2", failures=3), health("skin@1"))))
        await revoke(net.database, B)
        (standing,) = await net.fleet.standing("malaria@2")
        (declined,) = await net.fleet.standing("skin@2")
        (unknown,) = await net.fleet.standing("malaria@7")
    assert (standing.node, standing.site, standing.last_seen) == (A, f"site of {A}", NOW)
    assert standing.health is not None and standing.health.failures == 3 and standing.decline is not None
    assert declined.decline is not None and declined.decline.reason == "self_test"
    assert (unknown.health, unknown.decline) == (None, None)


async def test_a_thousand_heartbeats_cost_little(tmp_path: Path) -> None:
    """CPU of opening, verifying and committing, in batches; a node sends four a day."""
    async with network(tmp_path) as net:
        frames = [frame(A, beat(serial), net.keys[A]) for serial in range(1, 1001)]
        before = time.process_time()
        await asyncio.gather(*(net.intake.take(A, data) for data in frames))
        cpu_s = time.process_time() - before
        assert (await net.row() or ())[0] == 1000
    assert cpu_s < 5
