"""Server-sent events: a page hears of what it shows as soon as that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from coordinator.errors import CoordinatorError

LOOK_S: Final = 0.25  # how often the store is looked at
LONGEST_S: Final = 15.0  # then the browser asks again; below the server's own time-out for silent senders
RETRY_MS: Final = 200
ENDED_RETRY_MS: Final = 60_000  # of a page whose session has ended
MOST: Final = 64  # pages that follow at once


class Following:
    """Counts who follows, and tells them."""

    look_s = LOOK_S
    longest_s = LONGEST_S

    def __init__(self) -> None:
        self._now = 0

    def answer(self, read: Callable[[], Awaitable[Any]], show: Callable[[Any], str]) -> Response:
        """Tell ``show(read())`` at once, and again whenever what was read is another.

        Raises:
            CoordinatorError: ``web.watchers``.
        """
        if self._now >= MOST:
            raise CoordinatorError("web.watchers")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(read, show), media_type="text/event-stream", headers=headers)

    async def _events(self, read: Callable[[], Awaitable[Any]], show: Callable[[Any], str]) -> AsyncIterator[str]:
        self._now += 1
        try:
            last, loop = object(), asyncio.get_running_loop()
            end = loop.time() + self.longest_s
            yield f"retry: {RETRY_MS}\n\n"
            while loop.time() < end:
                found = await asyncio.shield(asyncio.ensure_future(read()))  # a page that leaves ends no query
                if found != last:
                    last = found
                    yield event("state", show(found))
                await asyncio.sleep(self.look_s)
        finally:
            self._now -= 1


def last_word(text: str) -> Response:
    """Tell a page that follows, once, why it hears nothing more; a refusal with another status would reach no reader."""
    body = f"retry: {ENDED_RETRY_MS}\n\n" + event("state", text)
    return Response(body, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def event(name: str, data: str) -> str:
    """One event of the stream."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n"
