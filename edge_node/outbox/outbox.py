"""The outbox as commands, the agent and the screens use it: opened when needed, closed after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from edge_node.errors import EdgeError
from edge_node.files import database_stamps
from edge_node.outbox.courier import Courier, Link, Pace, reportable
from edge_node.outbox.errors import BatchRefusedError
from edge_node.outbox.history import History, Tally
from edge_node.outbox.keys import KeyPlace
from edge_node.outbox.seal import Seal
from edge_node.outbox.store import Counts, OutboxStore
from edge_node.outbox.unlock import unlock
from protocols.clock import Clock
from protocols.errors import MedMeshError
from protocols.results.report import Report

POLL_S = 3.0


@dataclass(frozen=True)
class Delivery:
    """What one attempt to send brought: records sent, how it stands now, and why it ended early if it did."""

    sent: int
    counts: Counts
    failure: MedMeshError | None


class Outbox:
    """The history file of one node, and the way from it to the coordinator."""

    def __init__(
        self,
        path: Path,
        places: Mapping[str, KeyPlace],
        lock: Callable[[], AbstractAsyncContextManager[None]],
        coordinator: Callable[[], str | None],
        *,
        new_key_in: Sequence[str],
        most_waiting: int,
        most_picture_bytes: int,
        keep_days: int,
        clock: Clock,
        count: Callable[[int], None] = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        """Args: path: of the SQLite file, made when the first result is saved.

        places, lock and new_key_in: see ``unlock``; coordinator: the CA fingerprint of the one joined now; most_waiting: see
        ``History``; most_picture_bytes: see ``Pictures``; keep_days: how long what was acknowledged is kept; count: told the
        bytes of each batch that was taken; tally: counts what is saved.
        """
        self._tally = tally
        self._path = path
        self._places = places
        self._lock = lock
        self._coordinator = coordinator
        self._new_key_in = new_key_in
        self._most_waiting = most_waiting
        self._most_picture_bytes = most_picture_bytes
        self._keep = timedelta(days=keep_days)
        self._clock = clock
        self._count = count
        self._pace = Pace()

    @asynccontextmanager
    async def history(self, *, create: bool = False) -> AsyncIterator[History]:
        """The history; with ``create``, as for saving, it is made where there is none.

        Raises:
            EdgeError: ``outbox.empty``: nothing was ever saved; ``outbox.*`` or ``storage.*``: it cannot be opened.
        """
        if not create and not self._path.exists():
            raise EdgeError("outbox.empty")
        async with OutboxStore.open(self._path) as store:
            seal = await self._unlock(store)
            most = self._most_waiting, self._most_picture_bytes
            yield History(store, seal, self._coordinator(), *most, self._clock, self._tally)

    async def _unlock(self, store: OutboxStore) -> Seal:
        return await unlock(store, self._places, self._new_key_in, self._lock)

    async def counts(self) -> Counts:
        """How it stands; needs no key and makes no file.

        Raises:
            EdgeError: it cannot be opened.
        """
        if not self._path.exists():
            return Counts()
        async with OutboxStore.open(self._path) as store:
            return await store.counts(self._coordinator())

    async def deliver(
        self, connect: Callable[[], AbstractAsyncContextManager[Link]], *, retry_refused: bool
    ) -> Delivery:
        """Send all that is queued; where nothing is, no connection is made. Then forget what is kept long enough.

        Args:
            connect: opens a connection to the coordinator.
            retry_refused: also try again what was turned down before.

        Raises:
            EdgeError: the history cannot be opened.
        """
        if not self._path.exists():
            return Delivery(0, Counts(), None)
        async with OutboxStore.open(self._path) as store:
            if retry_refused:
                await store.retry_refused()
            delivery = await self._deliver(store, connect)
            await store.expire(self._clock().replace(microsecond=0) - self._keep)
            return replace(delivery, counts=await store.counts(self._coordinator()))

    async def _deliver(self, store: OutboxStore, connect: Callable[[], AbstractAsyncContextManager[Link]]) -> Delivery:
        coordinator = self._coordinator()
        counts = await store.counts(coordinator)
        if coordinator is None or not counts.queued:
            return Delivery(0, counts, None)
        seal = await self._unlock(store)
        courier = Courier(store, seal, coordinator, self._pace, self._clock, self._count)
        while True:
            try:
                async with connect() as link:
                    await courier.send_all(link)
            except BatchRefusedError as error:
                if not self._pace.is_hopeless:
                    continue
                await store.retry_refused()
                self._pace.rest(self._clock())
                return Delivery(courier.sent, counts, error)
            except MedMeshError as error:
                return Delivery(courier.sent, counts, error)
            return Delivery(courier.sent, counts, None)

    async def queued(self, most: int) -> list[Report]:
        """The oldest ``most`` reports that wait for the present coordinator; they stay queued.

        Raises:
            EdgeError: the history cannot be opened.
        """
        coordinator = self._coordinator()
        if coordinator is None or not self._path.exists():
            return []
        async with OutboxStore.open(self._path) as store:
            if not (records := await store.waiting(coordinator, most)):
                return []
            return await reportable(records, store, await self._unlock(store))

    async def settle(self, stored: Sequence[str], refused: Sequence[str]) -> int:
        """Note what the present coordinator said by hand of these records; returns how many were not acknowledged before.

        Raises:
            EdgeError: the history cannot be opened.
        """
        coordinator = self._coordinator()
        if coordinator is None or not self._path.exists():
            return 0
        async with OutboxStore.open(self._path) as store:
            before = (await store.counts(coordinator)).acknowledged
            if stored:
                await store.acknowledge(stored, coordinator, self._clock().replace(microsecond=0), wire_bytes=0)
            for record in refused:
                await store.refuse(record, "outbox.batch_refused")
            return (await store.counts(coordinator)).acknowledged - before

    async def carry(
        self, link: Link, sent: Callable[[int, int], None], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Send over an open connection what is queued, and what other programs queue from now on, until cancelled.

        Args:
            link: the agent's connection.
            sent: called with the number of records sent and that of those that wait.
            sleep: passes the time between looks at the file.

        Raises:
            MedMeshError: the connection or the history failed.
        """

        @asynccontextmanager
        async def this_link() -> AsyncIterator[Link]:
            yield link

        seen: tuple[int, ...] | None = None
        while True:
            now = self._stamp()
            if now != seen and self._pace.may_try(self._clock()):
                delivery = await self.deliver(this_link, retry_refused=False)
                if delivery.sent:
                    sent(delivery.sent, delivery.counts.queued)
                if delivery.failure is not None:
                    raise delivery.failure
                seen = self._stamp() if now == self._stamp() else None
            await sleep(POLL_S)

    def _stamp(self) -> tuple[int, ...]:
        """What changes when any program writes to the history, and daily, so that what is kept long enough goes."""
        return self._clock().toordinal(), *database_stamps(self._path)
