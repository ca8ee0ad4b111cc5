"""The month's budget at the moment of spending: bytes are reserved before they are asked for over the WAN.

So what peers bring costs nothing of it, and it is not passed in fact, whatever was known beforehand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from edge_node.errors import LimitError
from edge_node.transfer.ledger import MonthUsed
from edge_node.transfer.limits import Limits, passes_budget
from edge_node.transfer.source import Source
from protocols.artifacts import Artifact


class Account(Protocol):
    """What was used, and what is reserved, by all processes of a home."""

    async def this_month(self) -> MonthUsed:
        """The bytes of this calendar month."""
        ...

    async def reserve(self, size_bytes: int, most_bytes: int) -> MonthUsed | None:
        """Reserve so many bytes; returns what is used where they would pass ``most_bytes``, and then reserves nothing."""
        ...

    def release(self, size_bytes: int) -> None:
        """What was reserved is now counted as what it was used for."""
        ...


class Budget:
    """Of one command, or of ``serve``."""

    def __init__(self, limits: Callable[[], Limits], account: Account) -> None:
        """Args: limits: asked anew each time, since people change them while ``serve`` runs."""
        self._limits = limits
        self._account = account
        self._is_waived = False
        self._reservations = 0
        self._settled = 0
        self._changed = asyncio.Event()

    def waive(self) -> None:
        """From now on everything is allowed."""
        self._is_waived = True

    async def require(self, wanted_bytes: int) -> None:
        """Make sure that the budget holds a download which can come over the WAN only.

        Raises:
            LimitError: ``edge.budget_used``.
        """
        limits = self._limits()
        if self._is_waived or not limits.monthly_bytes:
            return
        used = await self._account.this_month()
        if passes_budget(limits, used.wan_bytes, wanted_bytes):
            raise LimitError(
                "edge.budget_used",
                month=used.month,
                used_mb=megabytes(used.wan_bytes),
                wanted_mb=megabytes(wanted_bytes),
                budget_mb=limits.monthly_bytes // 1_000_000,
            )

    @asynccontextmanager
    async def reserved(self, size_bytes: int) -> AsyncIterator[None]:
        """Reserve the bytes while the block lasts; what is still out in another block is waited for.

        Raises:
            LimitError: ``edge.budget_reached``: they do not fit.
        """
        most_bytes = self._limits().monthly_bytes
        if self._is_waived or not most_bytes:
            yield
            return
        await self._reserve(size_bytes, most_bytes)
        self._reservations += 1
        try:
            yield
        finally:
            self._reservations -= 1
            self._settled += 1
            self._account.release(size_bytes)
            self._changed.set()

    async def _reserve(self, size_bytes: int, most_bytes: int) -> None:
        while True:
            settled = self._settled
            used = await self._account.reserve(size_bytes, most_bytes)
            if used is None:
                return
            if settled != self._settled:
                continue
            if not self._reservations:
                raise LimitError(
                    "edge.budget_reached",
                    month=used.month,
                    used_mb=megabytes(used.wan_bytes),
                    budget_mb=most_bytes // 1_000_000,
                )
            self._changed.clear()
            await self._changed.wait()


class Budgeted:
    """A source over the WAN, asked for no more than the budget holds."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``Source``.

        Raises:
            LimitError: ``edge.budget_reached``; nothing was asked for.
        """
        end = artifact.size_bytes if stop is None else stop
        async with (
            self._budget.reserved(end - start),
            aclosing(self._source.read(artifact, start, stop)) as stream,
        ):
            async for data in stream:
                yield data


def megabytes(size_bytes: int) -> str:
    """As messages have it."""
    return f"{size_bytes / 1_000_000:.1f}"
