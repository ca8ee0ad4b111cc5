"""The bytes of a month: counted in memory, written in batches, read for budgets and for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edge_node.errors import EdgeError
from edge_node.transfer.traffic import LAN, WAN, Traffic
from protocols.clock import Clock

WRITE_EVERY_S = 60.0


class Book(Protocol):
    """Where the ledger is kept."""

    async def bytes_used(self, month: str) -> dict[str, int]:
        """The bytes of a month by kind."""
        ...

    async def add_bytes_used(self, month: str, by_kind: Mapping[str, int]) -> None:
        """Add to a month."""
        ...

    async def reserve_bytes(self, month: str, kinds: Sequence[str], size_bytes: int, most_bytes: int) -> bool:
        """Add to a month's ``reserved`` unless these kinds together would pass ``most_bytes``."""
        ...


@dataclass(frozen=True)
class MonthUsed:
    """What was used in one calendar month, ``2026-02``."""

    month: str
    by_kind: dict[str, int]

    @property
    def wan_bytes(self) -> int:
        """To and from the coordinator and mirrors."""
        return _sum(self.by_kind, WAN)

    @property
    def lan_bytes(self) -> int:
        """To and from other nodes."""
        return _sum(self.by_kind, LAN)


def month_of(now: datetime) -> str:
    """The calendar month where this machine stands."""
    return now.astimezone().strftime("%Y-%m")


def _sum(by_kind: Mapping[str, int], kinds: Iterable[str]) -> int:
    return sum(by_kind.get(kind, 0) for kind in kinds)


class Ledger:
    """One for each process. A process that is killed loses what it counted since it last wrote."""

    def __init__(self, traffic: Traffic, book: Callable[[], AbstractAsyncContextManager[Book]], clock: Clock) -> None:
        """Args: book: opens the book; it is kept closed, since many processes write to it."""
        self._traffic = traffic
        self._book = book
        self._clock = clock

    async def write(self) -> None:
        """Put what was counted into the book; where that fails, it is kept for the next time."""
        taken = self._traffic.take_unwritten()
        if not taken:
            return
        try:
            async with self._book() as book:
                await book.add_bytes_used(month_of(self._clock()), taken)
        except EdgeError:  # such as a full disk: nothing that the person asked for depends on it
            self._traffic.give_back(taken)
        except BaseException:
            self._traffic.give_back(taken)
            raise

    async def keep(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Write once a minute, until cancelled."""
        while True:
            await sleep(WRITE_EVERY_S)
            await self.write()

    async def reserve(self, size_bytes: int, most_bytes: int) -> MonthUsed | None:
        """Reserve bytes of this month's budget; returns what is used where they do not fit.

        Raises:
            EdgeError: the book cannot be read or written.
        """
        await self.write()
        month = month_of(self._clock())
        async with self._book() as book:
            if await book.reserve_bytes(month, WAN, size_bytes, most_bytes):
                return None
        return await self.this_month()

    def release(self, size_bytes: int) -> None:
        """Give a reservation back, written together with what it was used for. That of a killed process stays."""
        self._traffic.count("reserved", -size_bytes)

    async def this_month(self) -> MonthUsed:
        """What was used up to now, also what is not written yet.

        Raises:
            EdgeError: the book cannot be read.
        """
        month = month_of(self._clock())
        async with self._book() as book:
            used = await book.bytes_used(month)
        for kind, size_bytes in self._traffic.unwritten.items():
            used[kind] = used.get(kind, 0) + size_bytes
        return MonthUsed(month, {kind: size_bytes for kind, size_bytes in used.items() if size_bytes})
