"""Who stands at the door: every request that a row does not give to everybody passes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.access.forgery import SAFE, right_token, same_origin
from coordinator.access.rates import Buckets, sender
from coordinator.access.sessions import Session
from coordinator.config import WebLimits
from coordinator.errors import CoordinatorError
from coordinator.web.rows import COOKIE, Row, refusal, require
from protocols.access import Principal

CheckToken = Callable[[str, str], Awaitable[Principal]]  # credential and the sender's address; raises ``token.…``
FindSession = Callable[[str], Awaitable[Session | None]]


class Gate:
    """Recognises callers by token or session, and lets in whom a row serves.

    Args:
        check_token: what API tokens are worth.
        find_session: what a session's secret is worth.
        limits: how many requests one caller may make.
        clock: the time.
        origins: of ours, beside the one that the Host header names.
    """

    def __init__(
        self,
        check_token: CheckToken,
        find_session: FindSession,
        limits: WebLimits,
        clock: Callable[[], datetime],
        origins: frozenset[str] = frozenset(),
    ) -> None:
        self._check_token = check_token
        self._find_session = find_session
        self._addresses = Buckets(limits.address_per_s, limits.address_burst)
        self._principals = Buckets(limits.principal_per_s, limits.principal_burst)
        self._clock = clock
        self._origins = origins

    async def admit(self, row: Row, request: Request) -> Principal:
        """Who asks; they may. ``request.state`` holds the ``principal``, and the ``csrf`` token for their forms.

        Raises:
            MedMeshError: ``access.…`` or ``token.…``.
        """
        assert row.rights is not None
        principal, csrf = await self._recognise(request)
        if wait := self._principals.take(f"{principal.kind} {principal.name} {principal.token}", self._now_s()):
            raise CoordinatorError("access.too_many", wait_s=int(wait) + 1)
        require(row.rights, principal)
        if principal.kind == "user" and request.method not in SAFE:
            self.check_origin(request)
            if not right_token(await row.csrf_sent(request), csrf):
                raise CoordinatorError("access.csrf")
        request.state.principal, request.state.csrf = principal, csrf
        return principal

    def check_origin(self, request: Request) -> None:
        """Refuse what another site's page sent.

        Raises:
            CoordinatorError: ``access.origin``.
        """
        told = request.headers
        if not same_origin(told.get("origin"), told.get("sec-fetch-site"), told.get("host"), self._origins):
            raise CoordinatorError("access.origin")

    async def _recognise(self, request: Request) -> tuple[Principal, str]:
        """A request with an ``Authorization`` is judged by that alone: a browser never adds one for another site's page."""
        if (header := request.headers.get("authorization")) is not None:
            scheme, _, credential = header.partition(" ")
            if scheme.lower() != "bearer" or not credential.strip():
                raise CoordinatorError("token.missing")
            return await self._check_token(credential, request.client.host if request.client else ""), ""
        if (secret := request.cookies.get(COOKIE)) is None:
            raise CoordinatorError("access.missing")
        session = await self._find_session(secret)
        if session is None:
            raise CoordinatorError("access.session")
        return session.principal, session.csrf

    def limited(self, app: ASGIApp) -> ASGIApp:
        """The same application, which hears of each address only so often."""

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                client = scope.get("client")
                if wait := self._addresses.take(sender(client[0] if client else ""), self._now_s()):
                    error = CoordinatorError("access.too_many", wait_s=int(wait) + 1)
                    await refusal(Request(scope), error)(scope, receive, send)
                    return
            await app(scope, receive, send)

        return call

    def _now_s(self) -> float:
        return self._clock().timestamp()
