"""Keeping to a rate: a token bucket whose long-run rate is the cap, and what waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edge_node.transfer.bill import Bill, OwnBill

_BURST_S = 0.25  # what a stall of the program may make up for


class TokenBucket:
    """The time goes in, and what is paid stands in a bill. A new one is empty, so that many short commands do not add up
    to more than the cap.
    """

    def __init__(self, rate: float, bill: Bill) -> None:
        """Args: rate: bytes a second, by which this process reckons; others who share the bill may have another."""
        self._rate = rate
        self._bill = bill

    def spend(self, size_bytes: int, now_s: float) -> None:
        """Take bytes, also more than there are: they are paid for by waiting."""
        self._bill.change(lambda until_s: _paid(until_s, now_s) + size_bytes / self._rate)

    def wait_s(self, now_s: float) -> float:
        """How long to wait until all that was taken is paid for."""
        return max(self._bill.change(lambda until_s: _paid(until_s, now_s)) - now_s, 0.0)


def _paid(until_s: float | None, now_s: float) -> float:
    """Until when the bill is paid; what was not used is kept for a short while only."""
    return now_s if until_s is None else max(until_s, now_s - _BURST_S)


class Throttle:
    """Slows all who share it, or its bill, down to one rate between them."""

    def __init__(
        self,
        kbps: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        bill: Bill | None = None,
    ) -> None:
        """Args: kbps: kbit/s; 0: no cap. bill: None: its own."""
        self.kbps = kbps
        self._bucket = TokenBucket(kbps * 125, bill or OwnBill()) if kbps else None
        self._clock = clock
        self._sleep = sleep

    async def take(self, size_bytes: int) -> None:
        """Wait until ``size_bytes`` may pass, or until they are paid for if they have passed already."""
        self.spend(size_bytes)
        await self.paid()

    def spend(self, size_bytes: int) -> None:
        """Put bytes on the bill that have just passed."""
        if self._bucket is not None:
            self._bucket.spend(size_bytes, self._clock())

    async def paid(self) -> None:
        """Wait until the bill is paid."""
        if self._bucket is not None and (wait_s := self._bucket.wait_s(self._clock())) > 0:
            await self._sleep(wait_s)


@dataclass(frozen=True)
class Throttles:
    """One for each side, shared by all processes of a home.

    Attributes:
        wan: the coordinator and mirrors.
        lan: other nodes, both ways.
    """

    wan: Throttle
    lan: Throttle
