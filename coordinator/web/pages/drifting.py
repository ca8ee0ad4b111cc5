"""Drift alarms for pages: counted anew at most every ten minutes, however many pages ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from coordinator.fleet.fleet import SiteAlarm
from protocols.clock import Clock

KEPT: Final = timedelta(minutes=10)
PATIENCE_S: Final = 0.5  # that the overview waits for a count; a year of a thousand sites takes longer
_log = logging.getLogger("medmesh.web")


@dataclass(frozen=True)
class Counted:
    """The alarms, and when they were counted."""

    at: datetime
    alarms: Sequence[SiteAlarm]


class Drifting:
    """Counts in one task at a time.

    Args:
        count: all alarms at a time.
        clock: the time.
    """

    patience_s = PATIENCE_S

    def __init__(self, count: Callable[[datetime], Awaitable[Sequence[SiteAlarm]]], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._last: Counted | None = None
        self._counting: asyncio.Task[None] | None = None

    async def newest(self) -> Counted:
        """A count that is at most ten minutes old, waited for."""
        if self._is_due():
            await asyncio.shield(self._begun())
        assert self._last is not None
        return self._last

    async def known(self) -> Sequence[SiteAlarm]:
        """What was counted last, for pages that do not wait; a count that is due goes on behind them."""
        if self._is_due():
            await asyncio.wait({self._begun()}, timeout=self.patience_s)
        return () if self._last is None else self._last.alarms

    def _is_due(self) -> bool:
        return self._last is None or self._clock() - self._last.at > KEPT

    def _begun(self) -> asyncio.Task[None]:
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._once())
            self._counting.add_done_callback(_told)
        return self._counting

    async def _once(self) -> None:
        at = self._clock()
        self._last = Counted(at, await self._count(at))


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("drift was not counted: %s", type(error).__name__)
