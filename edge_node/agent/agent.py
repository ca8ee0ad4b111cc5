"""``serve``: hold the line to the coordinator, hear notices, update the models in use, and send what is queued."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

from edge_node.agent.backoff import delay_s
from edge_node.cache.acceptance import Decision
from edge_node.errors import LimitError, NodeRevokedError, ReleaseRefusedError, TrustError
from edge_node.outbox.courier import Link
from edge_node.outbox.errors import CoordinatorOlderError
from edge_node.transfer.limits import Granted, Postponed
from edge_node.trust.catalogue import CatalogueRelease
from edge_node.trust.feed import Snapshot
from protocols.errors import Language, MedMeshError

VERIFY_EVERY_S = 12 * 3600.0  # also without news, so that a withheld revocation shows as staleness

_CLOSED_S = 60.0  # after a window closed on a download, to see when it opens again

_FINAL = (LimitError, NodeRevokedError, ReleaseRefusedError, TrustError)

Emit = Callable[[str, dict[str, Any]], None]


class Session(Link, Protocol):
    """One connection: yields catalogue serials until it breaks, and takes batches of results."""

    def __aiter__(self) -> AsyncIterator[int]: ...


class Gateway(Protocol):
    """The line on which the coordinator tells of news."""

    def session(self) -> AbstractAsyncContextManager[Session]:
        """One connection.

        Raises:
            MedMeshError: it cannot be made, or broke.
        """
        ...


class Updates(Protocol):
    """What the agent does about news."""

    async def refresh(self) -> Snapshot:
        """Fetch the catalogue.

        Raises:
            MedMeshError: it is not to be had.
        """
        ...

    async def bytes_wanted(self, snapshot: Snapshot) -> int:
        """What the updates would have to fetch."""
        ...

    async def update_installed(
        self,
        snapshot: Snapshot,
        *,
        fetch: bool,
        evicted: Callable[[str], None],
        declined: Callable[[Decision], None],
    ) -> list[CatalogueRelease]:
        """Bring the models in use up to date; without ``fetch`` only to what is here already.

        Raises:
            MedMeshError: one of them could not be.
        """
        ...

    async def update_knowledge(self, snapshot: Snapshot) -> bool:
        """Bring the replica up to date.

        Raises:
            MedMeshError: it could not be.
        """
        ...


class Outbox(Protocol):
    """What waits to be sent."""

    async def carry(
        self, link: Link, sent: Callable[[int, int], None], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Send what is queued, now and later, until cancelled; ``sent`` is told how many went and how many wait.

        Raises:
            MedMeshError: it cannot be sent now.
        """
        ...


class Heartbeats(Protocol):
    """What tells the coordinator how the node stands."""

    async def carry(self, link: Link, sent: Callable[[int], None], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Tell what is due, now and later, until cancelled; ``sent`` is told each serial. It ends where nobody listens."""
        ...


class Agent:
    """Two tasks: one listens, reconnects and sends, one works off what was heard. Neither ever ends by itself."""

    def __init__(
        self,
        gateway: Gateway,
        updates: Callable[[], AbstractAsyncContextManager[Updates]],
        outbox: Outbox,
        heartbeats: Heartbeats,
        upkeep: Callable[[], Awaitable[None]],
        permission: Callable[[int], Awaitable[Granted | Postponed]],
        emit: Emit,
        *,
        language: Language,
        kept_serial: int | None,
        auto_update: bool,
        sleep: Callable[[float], Awaitable[None]],
        chance: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            gateway: the line.
            updates: opened for each piece of news and closed after it, so that no idle connection is kept.
            outbox: what waits to be sent.
            heartbeats: tell how the node stands.
            upkeep: called after a failure to connect.
            permission: says whether so many bytes may be fetched now.
            emit: told what happens.
            language: of what ``emit`` is told.
            kept_serial: that of the list last verified, if there is one.
            auto_update: whether anything is fetched unasked.
            sleep: passes the time between attempts.
            chance: uniform in 0..1.
        """
        self._gateway = gateway
        self._updates = updates
        self._outbox = outbox
        self._heartbeats = heartbeats
        self._upkeep = upkeep
        self._permission = permission
        self._emit = emit
        self._language: Language = language
        self._kept = kept_serial
        self._heard = -1
        self._auto_update = auto_update
        self._sleep = sleep
        self._chance = chance
        self._news = asyncio.Event()
        self._again_s = VERIFY_EVERY_S
        self._is_ready = False

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._work())

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with self._gateway.session() as session:
                    self._emit("connected", {})
                    async with self._carrying(session):
                        async for serial in session:
                            failures = 0
                            self._hear(serial)
            except MedMeshError as error:
                failures += 1
                wait_s = delay_s(failures, self._chance())
                self._ready(online=False)
                self._emit("disconnected", {"code": error.code, "retry_s": round(wait_s, 1)})
                await self._sleep(wait_s)
                with suppress(MedMeshError):  # the next attempt to connect tells what is wrong
                    await self._upkeep()

    @asynccontextmanager
    async def _carrying(self, session: Session) -> AsyncIterator[None]:
        """Send over ``session`` while the block lasts."""
        tasks = [
            asyncio.create_task(self._carry(session)),
            asyncio.create_task(self._heartbeats.carry(session, self._beat, self._sleep)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()  # each ends by itself only where the coordinator does not take what it sends

    async def _carry(self, session: Session) -> None:
        failures = 0
        while True:
            try:
                await self._outbox.carry(session, self._sent, self._sleep)
            except CoordinatorOlderError as error:
                self._emit("failed", error.document(self._language)["error"])
                return  # it has to be updated, and that ends the connection
            except MedMeshError as error:
                failures += 1
                wait_s = delay_s(failures, self._chance())
                self._emit("failed", {**error.document(self._language)["error"], "retry_s": round(wait_s, 1)})
                await self._sleep(wait_s)

    def _sent(self, records: int, waiting: int) -> None:
        self._emit("sent", {"records": records, "waiting": waiting})

    def _beat(self, serial: int) -> None:
        self._emit("heartbeat", {"serial": serial})

    def _hear(self, serial: int) -> None:
        """Take note of a serial. The first one is always looked into: models may have stayed behind an old list."""
        known = self._heard if self._is_ready else serial if self._kept is None else self._kept
        news = serial > known
        self._ready(online=True)
        if news:
            self._emit("notice", {"serial": serial})
        if serial > self._heard:
            self._heard = serial
            self._news.set()

    def _ready(self, *, online: bool) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._emit("ready", {"online": online})

    async def _work(self) -> None:
        failures = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._again_s):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._take_in()
                failures = 0
            except _FINAL as error:  # another try would end the same, until there is news
                self._emit("failed", error.document(self._language)["error"])
            except MedMeshError as error:
                failures += 1
                wait_s = delay_s(failures, self._chance())
                self._emit("failed", {**error.document(self._language)["error"], "retry_s": round(wait_s, 1)})
                await self._sleep(wait_s)
                self._news.set()

    async def _take_in(self) -> None:
        self._again_s = VERIFY_EVERY_S
        async with self._updates() as updates:
            snapshot = await updates.refresh()
            self._emit("catalogue", {"serial": snapshot.catalogue.serial})
            wanted_bytes = await updates.bytes_wanted(snapshot) if self._auto_update else 0
            permission = await self._permission(wanted_bytes) if wanted_bytes else Granted()
            if isinstance(permission, Postponed):
                self._postpone(permission, wanted_bytes)
                await self._update(updates, snapshot, fetch=False)
                return
            try:
                async with asyncio.timeout(permission.within_s) as window:
                    await self._update(updates, snapshot, fetch=self._auto_update)
            except TimeoutError:
                if not window.expired():
                    raise
                self._again_s = _CLOSED_S  # what arrived is kept and continued

    def _postpone(self, postponed: Postponed, wanted_bytes: int) -> None:
        if postponed.retry_s is not None:
            self._again_s = min(postponed.retry_s + self._chance() * postponed.spread_s, VERIFY_EVERY_S)
        retry_s = None if postponed.retry_s is None else round(self._again_s)
        self._emit("postponed", {"reason": postponed.reason, "bytes": wanted_bytes, "retry_s": retry_s})

    async def _update(self, updates: Updates, snapshot: Snapshot, *, fetch: bool) -> None:
        def evicted(release: str) -> None:
            self._emit("evicted", {"release": release})

        def declined(decision: Decision) -> None:
            self._emit("declined", decision.document())

        done = await updates.update_installed(snapshot, fetch=fetch, evicted=evicted, declined=declined)
        for release in done:
            self._emit("updated", {"disease": release.disease, "release": release.name})
        if fetch and await updates.update_knowledge(snapshot):
            knowledge = snapshot.catalogue.knowledge
            self._emit("knowledge", {"version": knowledge.version if knowledge else None})
