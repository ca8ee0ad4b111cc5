"""Asking the limits: they are read anew each time, since people change them while ``serve`` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge_node.transfer.ledger import MonthUsed
from edge_node.transfer.limits import Granted, Limits, Postponed, Reason, automatic, set_aside
from protocols.clock import Clock


class Counted(Protocol):
    """What was used up to now."""

    async def this_month(self) -> MonthUsed:
        """The bytes of this calendar month."""
        ...


class Allowance:
    """What may be fetched now."""

    def __init__(
        self, limits: Callable[[], Limits], ledger: Counted, clock: Clock, may_share: Callable[[], bool]
    ) -> None:
        """Args: may_share: whether peers are there, who may bring what would else come over the WAN."""
        self._limits = limits
        self._ledger = ledger
        self._clock = clock
        self._may_share = may_share

    async def automatic(self, wanted_bytes: int) -> Granted | Postponed:
        """Whether a download that nobody asked for may begin; with peers about, the budget shows as it goes on."""
        if self._may_share():
            wanted_bytes = 0
        used = (await self._ledger.this_month()).wan_bytes
        return automatic(self._limits(), used, wanted_bytes, self._clock().astimezone())

    async def left_bytes(self) -> int | None:
        """What is left of the month's budget; None: there is none."""
        most_bytes = self._limits().monthly_bytes
        if not most_bytes:
            return None
        return max(most_bytes - (await self._ledger.this_month()).wan_bytes, 0)

    def set_aside(self) -> list[Reason]:
        """The limits that a download which a person asks for now disregards."""
        return set_aside(self._limits(), self._clock().astimezone())
