"""Looks at the rollouts inside ``serve``: every minute, and soon after nodes have told something new.

Of several processes on one store only the holder of the lease looks; when it dies, another takes over within two minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from coordinator.audit.actor import Actor, current
from coordinator.releases.staged import Move
from coordinator.store.database import Database
from coordinator.store.leases import hold, let_go
from protocols.clock import Clock

_log = logging.getLogger("medmesh.rollouts")
LEASE = "rollouts"
LEASE_LIFE = timedelta(minutes=2)
_LOOK_EVERY_S = 60.0
_GATHER_S = 1.0  # heartbeats come in swarms; one look is enough for all of them
_REST = 10  # times as long as a look took, so that a large network's looks leave nine tenths of a core


class RolloutWatch:
    """One for each server."""

    def __init__(self, look: Callable[[datetime], Awaitable[list[Move]]], database: Database, clock: Clock) -> None:
        self._look = look
        self._database = database
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._news = asyncio.Event()

    def hear(self) -> None:
        """A node has told something new."""
        self._news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look while the block lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(Exception):  # it runs out by itself
                await let_go(self._database, LEASE, self._holder)

    async def _run(self) -> None:
        current.set(Actor("system", "rollouts"))  # of this task alone
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._once()
            except Exception:  # such as a store that is locked, or a full disk: nothing was decided, and it may pass
                _log.exception("the rollouts cannot be looked at now; trying again")
            took_s = loop.time() - began
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _LOOK_EVERY_S)
                await asyncio.sleep(min(max(_GATHER_S, _REST * took_s), _LOOK_EVERY_S))
            self._news.clear()

    async def _once(self) -> None:
        now = self._clock()
        if not await hold(self._database, LEASE, self._holder, LEASE_LIFE, now):
            return
        for move in await self._look(now):
            _log.warning("%s: %s, now at stage %s", move.release, move.act, move.stage)
