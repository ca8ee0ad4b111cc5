"""The one place where the app's blocking work crosses to another thread: a loop of its own for all services.

Imports of heavy packages, SQLite, TLS and LiteRT never run on the user interface's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A thread with an event loop. ``run`` may be awaited, and cancelled, from any other loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="medmesh-services", daemon=True)
        self._thread.start()

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await ``make()`` on the worker's loop."""

        async def there() -> T:
            return await make()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), self._loop))

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking function on one of the worker's own threads, so that its loop stays free too."""
        return await self.run(lambda: asyncio.to_thread(function, *arguments))

    async def close(self) -> None:
        """Cancel what is under way there and end the thread."""

        async def end() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_default_executor()

        await self.run(end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
