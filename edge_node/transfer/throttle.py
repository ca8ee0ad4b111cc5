"""Keeping to a rate: a token bucket whose long-run rate is the cap, and what waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_BURST_S = 0.25  # what a stall of the program may make up for


class TokenBucket:
    """Pure: the time goes in. It starts empty, so that many short commands do not add up to more than the cap."""

    def __init__(self, rate: float, now_s: float) -> None:
        """Args: rate: bytes a second."""
        self._rate = rate
        self._burst = rate * _BURST_S
        self._tokens = 0.0
        self._then_s = now_s

    def spend(self, size_bytes: int, now_s: float) -> None:
        """Take bytes, also more than there are: they are paid for by waiting."""
        self._fill(now_s)
        self._tokens -= size_bytes

    def wait_s(self, now_s: float) -> float:
        """How long to wait until all that was taken is paid for."""
        self._fill(now_s)
        return max(-self._tokens / self._rate, 0.0)

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self._tokens + (now_s - self._then_s) * self._rate, self._burst)
        self._then_s = now_s


class Throttle:
    """Slows all who share it down to one rate between them."""

    def __init__(
        self,
        kbps: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Args: kbps: kbit/s; 0: no cap."""
        self.kbps = kbps
        self._bucket = TokenBucket(kbps * 125, clock()) if kbps else None
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
    """One for each side, shared by everything in the process.

    Attributes:
        wan: the coordinator and mirrors.
        lan: other nodes, both ways.
    """

    wan: Throttle
    lan: Throttle
