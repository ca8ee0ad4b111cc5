"""What goes on in the server: request ids, one log line and one measurement a request. No sender, no address, no query."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("medmesh.access")
CODE: Final = "medmesh.code"  # in a request's scope: the code that it was refused with
request_id: ContextVar[str] = ContextVar("medmesh_request", default="")
_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Meters:
    """The process's own counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "medmesh_request_seconds",
            "Requests by route, method and status",
            ("route", "method", "status"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.refusals = Counter("medmesh_refusals", "Refused requests by code", ("code",), registry=self.registry)


class Observed:
    """An application whose requests are counted by the route's template, never by the address that was asked for."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute], meters: Meters) -> None:
        self._app = app
        self._templates = {route.endpoint: route.path for route in routes if isinstance(route, Route)}
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the id that it gets is ours, since a sender's could hold anything."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name, status, begun = secrets.token_hex(6), 499, time.monotonic()  # 499: gone before an answer

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message = {**message, "headers": [*message["headers"], (b"x-request-id", name.encode())]}
            await send(message)

        token = request_id.set(name)
        try:
            await self._app(scope, receive, answer)
        finally:
            self._tell(scope, status, time.monotonic() - begun)
            request_id.reset(token)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        endpoint: Any = scope.get("endpoint")
        route = self._templates.get(endpoint, "(none)")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE") else "other"
        code = scope.get(CODE, "")
        self._meters.requests.labels(route, method, str(status)).observe(seconds)
        if code:
            self._meters.refusals.labels(code).inc()
        fields = {"method": method, "route": route, "status": status, "ms": round(1000 * seconds, 1), "code": code}
        _log.info("%s %s %s", method, route, status, extra={"fields": fields})
