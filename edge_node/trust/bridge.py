"""Lets the TUF client, which works in a thread, read through the node's own pinned connection in the event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Protocol

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

from edge_node.errors import AbsentError, EdgeError


class SignedOrigin(Protocol):
    """One address of the coordinator."""

    def published(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of the signed repository as it comes; it is not to be believed, nor to end.

        Raises:
            AbsentError: there is no such file.
            SourceError: nobody answered, or not our coordinator.
        """
        ...


class Bridge(FetcherInterface):
    """Fetches for the TUF client. Made in the event loop, used in a thread."""

    def __init__(self, origin: SignedOrigin) -> None:
        self._origin = origin
        self._loop = asyncio.get_running_loop()
        self._pending: concurrent.futures.Future[Any] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False
        self._cut_off: set[AsyncGenerator[bytes, None]] = set()
        self.failure: EdgeError | None = None
        self.absence: AbsentError | None = None

    def stop(self) -> None:
        """Let the thread end at once."""
        self._stopped = True
        if self._pending is not None:
            self._pending.cancel()

    async def close(self) -> None:
        """End the answers that the client did not read to their end, because they were too long or wrong."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        for stream in self._cut_off:
            await stream.aclose()
        self._cut_off.clear()

    def _fetch(self, url: str) -> Iterator[bytes]:
        stream = self._origin.published(url)
        self._cut_off.add(stream)
        try:
            while (block := self._wait(stream)) is not None:
                yield block
        except AbsentError as error:
            self.absence = error
            raise DownloadHTTPError(url, 404) from error
        except EdgeError as error:
            self.failure = error
            raise DownloadError(url) from error
        self._cut_off.discard(stream)

    def _wait(self, stream: AsyncGenerator[bytes, None]) -> bytes | None:
        """The next block, or None at the end."""
        self._pending = future = asyncio.run_coroutine_threadsafe(self._next(stream), self._loop)
        if self._stopped:
            future.cancel()
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            self._stopped = True
            raise DownloadError("stopped") from error

    async def _next(self, stream: AsyncGenerator[bytes, None]) -> bytes | None:
        self._task = asyncio.current_task()
        return await anext(stream, None)
