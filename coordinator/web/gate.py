"""Who stands at the door: every request passes here before a row sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.access.forgery import SAFE, same_origin
from coordinator.access.rates import Buckets, sender
from coordinator.access.sessions import Session
from coordinator.audit.actor import Actor, acting
from coordinator.config import WebLimits
from coordinator.errors import CoordinatorError
from coordinator.web.rows import COOKIE, defect, refusal
from protocols.access import Principal
from protocols.errors import MedMeshError

CheckToken = Callable[[str, str], Awaitable[Principal]]  # credential and the sender's address; raises ``token.…``
FindSession = Callable[[str, bool], Awaitable[Session | None]]  # the secret, and whether a person did something
EVENTS, FOLLOWS = "text/event-stream", "x-follows"  # accepted, or sent, by a page that asks by itself


class Gate:
    """Recognises callers by token or session, turns forged requests away, and slows down who asks too much.

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

    def guard(self, app: ASGIApp) -> ASGIApp:
        """The same application behind the gate.

        Each request's ``state`` then holds the ``principal`` (None: nobody who is known), the ``csrf`` token for their
        forms, and the ``refusal`` that a row which needs a principal gives where there is none.
        """

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            request = Request(scope)
            if wait := self._addresses.take(sender(_address(request)), self._now_s()):
                error = CoordinatorError("access.too_many", wait_s=int(wait) + 1)
                await refusal(request, error)(scope, receive, send)
                return
            found = await self._found(request)
            scope["state"] = {**scope.get("state", {}), **found}
            principal = found["principal"]
            # What needs nobody to be known proves itself by a signature or an invite, and says who it is.
            actor = Actor("system", "public") if principal is None else Actor(principal.kind, principal.name)
            with acting(actor):
                await app(scope, receive, send)

        return call

    async def _found(self, request: Request) -> dict[str, Any]:
        try:
            principal, csrf = await self._recognise(request)
            if wait := self._principals.take(f"{principal.kind} {principal.name} {principal.token}", self._now_s()):
                raise CoordinatorError("access.too_many", wait_s=int(wait) + 1)
            if principal.kind == "user" and request.method not in SAFE:
                self.check_origin(request)
        except MedMeshError as error:
            return {"principal": None, "csrf": "", "refusal": error}
        except Exception as error:
            return {"principal": None, "csrf": "", "refusal": defect(request, "the gate", error)}
        return {"principal": principal, "csrf": csrf, "refusal": None}

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
            return await self._check_token(credential, _address(request)), ""
        if (secret := request.cookies.get(COOKIE)) is None:
            raise CoordinatorError("access.missing")
        session = await self._find_session(secret, not follows(request))
        if session is None:
            raise CoordinatorError("access.session")
        return session.principal, session.csrf

    def _now_s(self) -> float:
        return self._clock().timestamp()


def follows(request: Request) -> bool:
    """Whether a page asks by itself for what has changed: that is no sign of a person before it."""
    return FOLLOWS in request.headers or EVENTS in request.headers.get("accept", "")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
