"""Lines that break while we speak: everyday on thin links, and nothing for the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

_log = logging.getLogger("medmesh.web")


def forgiving(app: ASGIApp) -> ASGIApp:
    """The same application, to which a line that breaks under an answer is no error: a refused sender may go on sending."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except OSError as error:  # the operations' own are answered by then
            _log.debug("a line broke: %s", type(error).__name__)

    return call


def ignore_broken(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop say nothing of connections that broke while they were being closed."""

    def handle(inner: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and "client_connected_cb" in str(context.get("message", "")):
            _log.debug("a line broke: %s", type(error).__name__)
        else:
            inner.default_exception_handler(context)

    loop.set_exception_handler(handle)
