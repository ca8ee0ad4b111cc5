"""Asking the limits: they are read anew each time, since people change them while ``serve`` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge_node.errors import LimitError
from edge_node.transfer.ledger import MonthUsed
from edge_node.transfer.limits import Granted, Limits, Postponed, Reason, automatic, passes_budget, set_aside
from protocols.clock import Clock


class Counted(Protocol):
    """What was used up to now."""

    async def this_month(self) -> MonthUsed:
        """The bytes of this calendar month."""
        ...


class Allowance:
    """What may be fetched now."""

    def __init__(self, limits: Callable[[], Limits], ledger: Counted, clock: Clock) -> None:
        self._limits = limits
        self._ledger = ledger
        self._clock = clock

    async def automatic(self, wanted_bytes: int) -> Granted | Postponed:
        """Whether a download that nobody asked for may begin."""
        used = (await self._ledger.this_month()).wan_bytes
        return automatic(self._limits(), used, wanted_bytes, self._clock().astimezone())

    async def require_budget(self, wanted_bytes: int) -> None:
        """Make sure that the month's budget holds a download that a person asked for.

        Raises:
            LimitError: ``edge.budget_used``.
        """
        limits = self._limits()
        used = await self._ledger.this_month()
        if passes_budget(limits, used.wan_bytes, wanted_bytes):
            raise LimitError(
                "edge.budget_used",
                month=used.month,
                used_mb=_mb(used.wan_bytes),
                wanted_mb=_mb(wanted_bytes),
                budget_mb=limits.monthly_bytes // 1_000_000,
            )

    def set_aside(self) -> list[Reason]:
        """The limits that a download which a person asks for now disregards."""
        return set_aside(self._limits(), self._clock().astimezone())


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f}"
