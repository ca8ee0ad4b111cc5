"""Rows: each is a route and says whom it serves. Nothing is routed that is not a row."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coordinator.access.forgery import SAFE, right_token
from coordinator.audit.actor import Actor, acting
from coordinator.errors import CoordinatorError
from coordinator.web.observing import CODE
from protocols.access import Principal
from protocols.errors import Language, MedMeshError

_log = logging.getLogger("medmesh.web")
Public = Callable[[Request], Awaitable[Response]]
Allowed = Callable[[Request, Principal], Awaitable[Response]]
Method = Literal["GET", "POST", "PUT", "DELETE"]
COOKIE = "__Host-medmesh"  # the prefix: no other host, and no plain line, can set it


@dataclass(frozen=True)
class Row:
    """One route with one method.

    Attributes:
        method: GET answers HEAD too.
        path: with ``{name}`` or ``{name:path}``.
        handler: an ``Allowed`` where ``rights`` says who may call it, else a ``Public``.
        summary: one line.
        rights: any of them is enough; None: everybody may, for the reason that ``public`` states.
        public: why nobody needs to be known.
    """

    method: Method
    path: str
    handler: Public | Allowed
    summary: str
    rights: frozenset[str] | None = field(default=None, kw_only=True)
    public: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        """Deny by default: a row must say whom it serves."""
        if (self.rights is None) == (not self.public) or self.rights == frozenset():
            raise ValueError(f"{self.method} {self.path} needs rights, or a reason to be public")

    async def csrf_sent(self, request: Request) -> str:
        """The token against forgery that a state-changing request carries; empty: none."""
        return request.headers.get("x-csrf-token", "")

    def refused(self, request: Request, error: MedMeshError) -> Response:
        """How a refusal looks here."""
        return refusal(request, error)

    def guarded(self, answer: Response) -> Response:
        """An answer with what browsers must know of it."""
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if self.rights is not None:
            answer.headers.setdefault("Cache-Control", "no-store")
        return answer


def require(rights: frozenset[str], principal: Principal) -> None:
    """The one check of rights: any of them is enough.

    Raises:
        CoordinatorError: ``token.scope`` or ``access.denied``.
    """
    if rights & principal.rights:
        return
    wanted = sorted(rights)
    if principal.kind == "token":
        raise CoordinatorError("token.scope", scopes=" or ".join(wanted))
    raise CoordinatorError("access.denied", rights=", ".join(wanted))


def language(request: Request) -> Language:
    """What the reader chose (``lang`` in the address or as cookie), else Chinese where they prefer it."""
    for chosen in (request.query_params.get("lang"), request.cookies.get("lang")):
        if chosen == "zh":
            return "zh"
        if chosen == "en":
            return "en"
    return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"


def refusal_headers(error: MedMeshError) -> dict[str, str]:
    """What HTTP wants beside a refusal."""
    headers = {}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.http_status == 429:
        headers["Retry-After"] = str(error.details.get("wait_s", 10))
    return headers


def refusal(request: Request, error: MedMeshError) -> Response:
    """An error as an answer: code, sentence, remedy."""
    request.scope[CODE] = error.code
    return JSONResponse(error.document(language(request)), error.http_status, refusal_headers(error))


def http_refusal(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such address, no such method."""
    assert isinstance(error, HTTPException)
    document = CoordinatorError("api.not_found").document(language(request))
    return JSONResponse(document, error.status_code, error.headers)


def routes(rows: Sequence[Row]) -> list[Route]:
    """Starlette's routes; all methods of one path are one route, so that 405 names them all."""
    by_path: dict[str, dict[str, Row]] = {}
    for row in rows:
        if by_path.setdefault(row.path, {}).setdefault(row.method, row) is not row:
            raise ValueError(f"{row.method} {row.path} stands twice")
    return [Route(path, _endpoint(path, found), methods=list(found)) for path, found in by_path.items()]


def _endpoint(path: str, rows: dict[str, Row]) -> Public:
    async def endpoint(request: Request) -> Response:
        row = rows["GET" if request.method == "HEAD" else request.method]
        try:
            answer = await _call(row, request)
        except MedMeshError as error:
            answer = row.refused(request, error)
        except OSError as error:
            known = error.errno in (errno.ENOSPC, errno.EDQUOT)
            full = CoordinatorError("storage.full", path="the coordinator's data")
            answer = row.refused(request, full if known else defect(request, path, error))
        except HTTPException:
            raise
        except Exception as error:
            answer = row.refused(request, defect(request, path, error))
        return row.guarded(answer)

    return endpoint


async def _call(row: Row, request: Request) -> Response:
    if row.rights is None:
        with acting(Actor("system", "public")):  # what proves itself by signature or invite says who it is
            return await cast(Public, row.handler)(request)
    principal = await admit(row, request)
    with acting(Actor(principal.kind, principal.name)):
        return await cast(Allowed, row.handler)(request, principal)


async def admit(row: Row, request: Request) -> Principal:
    """Who asks, as the gate recognised them; the row serves them.

    Raises:
        MedMeshError: the gate's refusal, as ``require``, or ``access.csrf``.
    """
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        raise getattr(request.state, "refusal", None) or CoordinatorError("access.missing")
    require(row.rights or frozenset(), principal)
    # A browser adds cookies to what other sites' pages send; it never adds tokens.
    forgeable = principal.kind == "user" and request.method not in SAFE
    if forgeable and not right_token(await row.csrf_sent(request), request.state.csrf):
        raise CoordinatorError("access.csrf")
    return principal


def defect(request: Request, path: str, error: Exception) -> MedMeshError:
    """A fault of ours. The log names the route and the place, never what the sender wrote."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("%s %s: %s at %s:%s", request.method, path, type(error).__name__, frame.filename, frame.lineno)
    return CoordinatorError("defect", fault=type(error).__name__)
