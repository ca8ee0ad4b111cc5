"""Bringing what is queued to the coordinator: batch by batch, each resent until its receipt is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from edge_node.outbox.errors import BatchRefusedError, CoordinatorOlderError
from edge_node.outbox.record import report_from
from edge_node.outbox.seal import Seal, UnsealError
from edge_node.outbox.store import OutboxStore, StoredRecord
from protocols.clock import Clock
from protocols.errors import ProtocolError
from protocols.results.batch import FORMAT, MAX_RECORDS, pack
from protocols.results.report import Report

_RECEIPT_BYTES = 46
_HOPELESS = 3
_REST = timedelta(hours=6)


class Link(Protocol):
    """An open connection to the coordinator."""

    async def accepts(self) -> tuple[str, ...]:
        """The formats of batches that the coordinator takes.

        Raises:
            EdgeError: the connection broke.
        """
        ...

    async def deliver(self, frame: bytes) -> None:
        """Send a batch; returns once the coordinator has committed it.

        Raises:
            BatchRefusedError: it does not want this batch.
            NotAcceptedError: it does not want this node.
            UnreachableError: the connection broke, or no receipt came; perhaps it was committed all the same.
        """
        ...


class Pace:
    """How many records go into one batch, and when to leave off. Pure.

    A refused batch is searched by halves until the record at fault stands alone. Where one record after the other is
    refused, the fault lies elsewhere, such as in the versions, and asking again soon would only cost the thin line.
    """

    def __init__(self) -> None:
        self.most = MAX_RECORDS
        self._suspects = 0  # so many of the next records hold one at fault
        self._alone = 0
        self._rest_until: datetime | None = None

    def accepted(self, count: int) -> None:
        """A batch of ``count`` was taken."""
        self._alone = 0
        self._suspects = max(self._suspects - count, 0)
        self.most = max(self._suspects // 2, 1) if self._suspects else min(self.most * 2, MAX_RECORDS)

    def refused(self, count: int) -> bool:
        """A batch of ``count`` was refused; returns whether that is its one record's fault."""
        self.most = max(count // 2, 1)
        if count > 1:
            self._suspects = count
            return False
        self._suspects = 0
        self._alone += 1
        return True

    @property
    def is_hopeless(self) -> bool:
        """Whether one record after the other was refused."""
        return self._alone >= _HOPELESS

    def rest(self, now: datetime) -> None:
        """Leave off for some hours."""
        self._alone = 0
        self._rest_until = now + _REST

    def may_try(self, now: datetime) -> bool:
        """Whether it is time to send again."""
        return self._rest_until is None or now >= self._rest_until


@dataclass(frozen=True)
class _Batch:
    frame: bytes
    ids: tuple[str, ...]


async def reportable(records: Sequence[StoredRecord], store: OutboxStore, seal: Seal) -> list[Report]:
    """What the coordinator may know of ``records``; those that cannot be reported are set aside."""
    reports: list[Report] = []
    for record in records:
        try:
            reports.append(report_from(record, seal))
        except UnsealError:
            await store.refuse(record.id, "outbox.damaged")
        except ProtocolError as error:
            await store.refuse(record.id, error.code)
    return reports


class Courier:
    """Sends from one open history to one coordinator."""

    def __init__(
        self,
        store: OutboxStore,
        seal: Seal,
        coordinator: str,
        pace: Pace,
        clock: Clock,
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Args: count: told the bytes of each batch that was taken, with its receipt."""
        self._store = store
        self._seal = seal
        self._coordinator = coordinator
        self._pace = pace
        self._clock = clock
        self._count = count
        self.sent = 0

    async def send_all(self, link: Link) -> None:
        """Send until nothing is queued; ``sent`` counts, whatever happens.

        Raises:
            CoordinatorOlderError: it does not take results.
            BatchRefusedError: a batch was refused and the connection is closed; another one goes on with less at once.
            EdgeError: as ``Link.deliver``, or the history failed.
        """
        while (batch := await self._next()) is not None:
            if FORMAT not in await link.accepts():
                raise CoordinatorOlderError("outbox.coordinator_older")
            try:
                await link.deliver(batch.frame)
            except BatchRefusedError as error:
                if self._pace.refused(len(batch.ids)):
                    await self._store.refuse(batch.ids[0], error.code)
                raise
            wire_bytes = len(batch.frame) + _RECEIPT_BYTES
            self._count(wire_bytes)
            now = self._clock().replace(microsecond=0)
            await self._store.acknowledge(batch.ids, self._coordinator, now, wire_bytes)
            self._pace.accepted(len(batch.ids))
            self.sent += len(batch.ids)

    async def _next(self) -> _Batch | None:
        """The oldest records in one frame; what cannot be reported is set aside and never holds up the rest."""
        while records := await self._store.waiting(self._coordinator, self._pace.most):
            reports = await reportable(records, self._store, self._seal)
            if not reports:
                continue
            try:
                frame, count = pack(reports)
            except ProtocolError as error:
                await self._store.refuse(reports[0].id, error.code)
                continue
            return _Batch(frame, tuple(r.id for r in reports[:count]))
        return None
