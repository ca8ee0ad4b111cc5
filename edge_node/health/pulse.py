"""Heartbeats over the node's own line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta

from edge_node.cache.store import CacheStore
from edge_node.health.schedule import Schedule, gist, urgent
from edge_node.outbox.courier import Link
from edge_node.peers.luggage import Luggage
from protocols.clock import Clock
from protocols.errors import MedMeshError
from protocols.heartbeat import FORMAT, Heartbeat, pack_carried

SERIAL, ACCEPTED = "heartbeat.serial", "heartbeat.accepted"  # notes in the index
_LOOK_S = 5.0
_LOOK_AGAIN = timedelta(minutes=10)
_WIRE_BYTES = 46 + 2 * 29  # the receipt, and TLS and frame heads of both ways


async def next_serial(store: CacheStore, now: datetime) -> int:
    """A serial above all that this node has used; above them too where the index was lost, if the clock is right."""
    return await store.next_number(SERIAL, int(now.timestamp()))


async def last_accepted(store: CacheStore) -> datetime | None:
    """When the coordinator took a heartbeat over this node's own line; None: never."""
    note = await store.note(ACCEPTED)
    return None if note is None else datetime.fromisoformat(json.loads(note)["at"])


class Pulse:
    """Sends what is due while there is a line."""

    def __init__(
        self,
        collect: Callable[[], Awaitable[Heartbeat]],
        stamp: Callable[[], object],
        frame: Callable[[Heartbeat], bytes],
        index: Callable[[], AbstractAsyncContextManager[CacheStore]],
        schedule: Schedule,
        clock: Clock,
        count: Callable[[int], None],
        luggage: Callable[[], Luggage | None] = lambda: None,
    ) -> None:
        """Args: collect: how the node stands; its serial is not used yet.

        stamp: changes when there may be news; frame: signs; index: where serials are kept; count: told the bytes that went
        over the line; luggage: what other nodes gave, while there are links to them.
        """
        self._luggage = luggage
        self._collect = collect
        self._stamp = stamp
        self._frame = frame
        self._index = index
        self._schedule = schedule
        self._clock = clock
        self._count = count
        self._is_first = True

    async def carry(self, link: Link, sent: Callable[[int], None], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Send over an open connection what is due, until cancelled; ends where the coordinator takes no heartbeats.

        Args:
            link: the agent's connection.
            sent: called with the serial of each that was accepted.
            sleep: passes the time between looks.
        """
        try:
            if FORMAT not in await link.accepts():
                return
        except MedMeshError:
            return  # the connection broke, and whoever listens on it hears why
        seen: object = None
        looked: datetime | None = None
        heartbeat: Heartbeat | None = None
        while True:
            now = self._clock()
            try:
                stamp = self._stamp()
                if heartbeat is None or looked is None or stamp != seen or not now - _LOOK_AGAIN < looked <= now:
                    heartbeat, seen, looked = await self._collect(), stamp, now
                if await self._is_due(heartbeat, now):
                    await self._send(link, heartbeat, sent)
                await self._bring(link, now)
            except MedMeshError:  # files that are busy or damaged; recognition and results tell people of those
                self._schedule.failed(0, now)
            await sleep(_LOOK_S)

    async def _bring(self, link: Link, now: datetime) -> None:
        """Bring what nodes without a line gave, as far as the day's bytes go."""
        luggage = self._luggage()
        for node, sealed in [] if luggage is None else luggage.waiting(now):
            if not self._schedule.may_carry(now):
                return
            frame = pack_carried(node, sealed)
            wire_bytes = len(frame) + _WIRE_BYTES
            self._count(wire_bytes)
            self._schedule.carried(wire_bytes)
            await link.deliver(frame)
            assert luggage is not None
            luggage.brought(node, sealed)

    async def _is_due(self, heartbeat: Heartbeat, now: datetime) -> bool:
        if self._is_first:
            async with self._index() as store:
                note = await store.note(ACCEPTED)
            if note is not None:
                kept = json.loads(note)
                self._schedule.recall(datetime.fromisoformat(kept["at"]), kept["gist"], kept["urgent"])
            self._is_first = False
        return self._schedule.is_due(heartbeat, now)

    async def _send(self, link: Link, heartbeat: Heartbeat, sent: Callable[[int], None]) -> None:
        now = self._clock()
        async with self._index() as store:
            heartbeat = replace(heartbeat, serial=await next_serial(store, now), sent=now)
        frame = self._frame(heartbeat)
        wire_bytes = len(frame) + _WIRE_BYTES
        self._count(wire_bytes)
        try:
            await link.deliver(frame)
        except MedMeshError:  # whoever listens on the connection hears why it ended
            self._schedule.failed(wire_bytes, now)
            return
        self._schedule.accepted(heartbeat, wire_bytes, now)
        note = {"at": now.isoformat(timespec="seconds"), "gist": gist(heartbeat), "urgent": urgent(heartbeat)}
        async with self._index() as store:
            await store.set_note(ACCEPTED, json.dumps(note))
        sent(heartbeat.serial)
