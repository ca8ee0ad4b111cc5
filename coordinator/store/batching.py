"""The one task that writes what nodes send: many nodes' items in one transaction, and back pressure where they come too fast."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from coordinator.errors import CoordinatorError
from protocols.clock import Clock
from protocols.errors import MedMeshError

_log = logging.getLogger("medmesh.intake")
MOST_WAITING = 64  # items; a node whose item finds no room waits, and its line with it
_MOST_TOGETHER = 32
Item = TypeVar("Item")


@dataclass(frozen=True)
class _Waiting(Generic[Item]):
    node: str
    item: Item
    stored: asyncio.Future[None]


class BatchWriter(Generic[Item]):
    """Takes items in and says when each is committed."""

    def __init__(
        self, commit: Callable[[Sequence[tuple[str, Item]], datetime], Awaitable[set[str]]], clock: Clock
    ) -> None:
        """Args: commit: writes items of nodes together; returns the nodes of which nothing was taken, as not enrolled."""
        self._write = commit
        self._clock = clock
        self._queue: asyncio.Queue[_Waiting[Item]] = asyncio.Queue(MOST_WAITING)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the block lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def store(self, node: str, item: Item) -> None:
        """Have an item written; returns once it is committed.

        Raises:
            CoordinatorError: ``node.revoked``, ``storage.*`` or ``results.not_stored``; nothing of the item is stored.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(node, item, stored))
        await stored

    async def _run(self) -> None:
        while True:
            together = [await self._queue.get()]
            while len(together) < _MOST_TOGETHER and not self._queue.empty():
                together.append(self._queue.get_nowait())
            await self._commit(together)

    async def _commit(self, together: Sequence[_Waiting[Item]]) -> None:
        try:
            turned_away = await self._write([(w.node, w.item) for w in together], self._clock())
        except Exception as error:  # whatever it is, the nodes keep what is not acknowledged, and the task must go on
            if len(together) > 1:  # one item's fault must not be the others'
                for waiting in together:
                    await self._commit([waiting])
                return
            _end(together[0], _meaning(error))
            return
        for waiting in together:
            refused = waiting.node in turned_away
            _end(waiting, CoordinatorError("node.revoked", name=waiting.node) if refused else None)


def _end(waiting: _Waiting[Item], failure: MedMeshError | None) -> None:
    if waiting.stored.done():  # its connection has gone meanwhile
        return
    if failure is None:
        waiting.stored.set_result(None)
    else:
        waiting.stored.set_exception(failure)


def _meaning(error: Exception) -> MedMeshError:
    if isinstance(error, MedMeshError):
        return error
    _log.error("storing what a node sent failed", exc_info=error)
    return CoordinatorError("results.not_stored")
