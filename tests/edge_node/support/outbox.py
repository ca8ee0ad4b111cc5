"""An outbox whose keys, clock and coordinator are the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge_node.cache.lock import exclusive
from edge_node.errors import UnreachableError
from edge_node.outbox.courier import Link
from edge_node.outbox.errors import BatchRefusedError
from edge_node.outbox.keys import KeyFile, KeyPlaceError
from edge_node.outbox.outbox import Outbox
from edge_node.outbox.unlock import KEY_FILE, KEYSTORE
from protocols.results import batch
from protocols.results.report import Report

COORDINATOR, OTHER_COORDINATOR = "a" * 64, "b" * 64


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 2, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)


class MemoryKeystore:
    """A keystore that works, forgets everything (``forgets``) or does not answer (``silent``)."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.forgets = False
        self.silent = False

    async def read(self, name: str) -> bytes | None:
        if self.silent:
            raise KeyPlaceError
        return self.keys.get(name)

    async def write(self, name: str, key: bytes) -> None:
        if self.silent:
            raise KeyPlaceError
        if not self.forgets:
            self.keys[name] = key


class Coordinator:
    """Stores by id in memory. ``plan`` says what goes wrong with the next batches, one word each:

    ``lost`` on the way there, ``unanswered`` (committed, receipt lost), ``fine``.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Report] = {}
        self.accepts: tuple[str, ...] = (batch.FORMAT,)
        self.poison: set[str] = set()
        self.plan: list[str] = []
        self.frames: list[bytes] = []
        self.connections = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        self.connections += 1
        yield _MemoryLink(self)


class _MemoryLink:
    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._is_broken = False

    async def accepts(self) -> tuple[str, ...]:
        return self._coordinator.accepts

    async def deliver(self, frame: bytes) -> None:
        fate = "broken" if self._is_broken else self._coordinator.plan.pop(0) if self._coordinator.plan else "fine"
        self._is_broken = fate != "fine"
        if fate in ("lost", "broken"):
            raise UnreachableError("edge.gateway_unreachable", url="memory")
        reports = batch.unpack(frame)
        self._coordinator.frames.append(frame)
        if self._coordinator.poison & {r.id for r in reports}:
            self._is_broken = True
            raise BatchRefusedError("outbox.batch_refused", reason="results.malformed")
        for report in reports:
            self._coordinator.stored.setdefault(report.id, report)
        if fate == "unanswered":
            raise UnreachableError("outbox.no_receipt")


class Bench:
    """Everything around one outbox; ``outbox`` is a program that has just started."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.sqlite"
        self.key_path = folder / "history.key"
        self.lock: Callable[[], AbstractAsyncContextManager[None]] = lambda: exclusive(folder / "lock")
        self.keystore = MemoryKeystore()
        self.joined: str | None = COORDINATOR
        self.clock = Clock()
        self.options: dict[str, Any] = {
            "new_key_in": (KEYSTORE, KEY_FILE),
            "most_waiting": 1000,
            "most_picture_bytes": 1_000_000,
            "keep_days": 90,
        }

    @property
    def outbox(self) -> Outbox:
        places = {KEYSTORE: self.keystore, KEY_FILE: KeyFile(self.key_path)}
        return Outbox(self.path, places, self.lock, lambda: self.joined, clock=self.clock, **self.options)

    async def save(self, *results: dict[str, Any]) -> list[str]:
        """Save; the ids."""
        async with self.outbox.history(create=True) as history:
            return [kept["id"] for kept in await history.save(results)]

    async def confirm(self, result: str, label: str = "uninfected") -> None:
        async with self.outbox.history() as history:
            await history.confirm(result, label)
