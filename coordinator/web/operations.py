"""The API's one table: each row is a route, what it needs and what it answers. Routes and OpenAPI are both made from it."""

from __future__ import annotations

import errno
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coordinator.audit.actor import Actor, acting
from coordinator.errors import CoordinatorError
from coordinator.web.observing import CODE
from protocols.access import Grant
from protocols.errors import Language, MedMeshError

_log = logging.getLogger("medmesh.web")
Schema = dict[str, Any]
Public = Callable[[Request], Awaitable[Response]]
Scoped = Callable[[Request, Grant], Awaitable[Response]]
CheckToken = Callable[[str, str], Awaitable[Grant]]  # credential and the sender's address; raises ``token.…``
Method = Literal["GET", "POST", "PUT", "DELETE"]
JSON = "application/json"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Body:
    """What a request carries."""

    media_type: str
    schema: Schema
    most_bytes: int


@dataclass(frozen=True)
class Answer:
    """What a request that goes well gets."""

    status: int
    text: str
    media_type: str | None = JSON
    schema: Schema = field(default_factory=lambda: {"type": "object"})


@dataclass(frozen=True)
class Operation:
    """One route with one method.

    Attributes:
        method: GET answers HEAD too.
        path: with ``{name}`` or ``{name:path}``.
        handler: a ``Scoped`` where ``scopes`` says which tokens may call it, else a ``Public``.
        scopes: any of them is enough; None: everybody may, for the reason that ``public`` states.
        public: why no token is needed.
        summary: one line.
        answers: of requests that go well; failures all have the one form.
        body: what the request carries.
        parameters: schemas of path parameters.
        headers: schemas of required headers.
    """

    method: Method
    path: str
    handler: Public | Scoped
    summary: str
    answers: Sequence[Answer]
    scopes: frozenset[str] | None = None
    public: str = ""
    body: Body | None = None
    parameters: dict[str, Schema] = field(default_factory=dict)
    headers: dict[str, Schema] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Deny by default: a row must say whom it serves."""
        if (self.scopes is None) == (not self.public) or self.scopes == frozenset():
            raise ValueError(f"{self.method} {self.path} needs scopes, or a reason to be public")


def language(request: Request) -> Language:
    """Chinese where the sender prefers it."""
    return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"


def refusal(request: Request, error: MedMeshError) -> Response:
    """An error as an answer: code, sentence, remedy."""
    request.scope[CODE] = error.code
    headers = {}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.http_status == 429:
        headers["Retry-After"] = str(error.details.get("wait_s", 10))
    return JSONResponse(error.document(language(request)), error.http_status, headers)


def http_refusal(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such address, no such method."""
    assert isinstance(error, HTTPException)
    document = CoordinatorError("api.not_found").document(language(request))
    return JSONResponse(document, error.status_code, error.headers)


def routes(operations: Sequence[Operation], check: CheckToken) -> list[Route]:
    """Starlette's routes; all methods of one path are one route, so that 405 names them all."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        if by_path.setdefault(operation.path, {}).setdefault(operation.method, operation) is not operation:
            raise ValueError(f"{operation.method} {operation.path} stands twice")
    return [Route(path, _endpoint(path, rows, check), methods=list(rows)) for path, rows in by_path.items()]


def _endpoint(path: str, rows: dict[str, Operation], check: CheckToken) -> Public:
    async def endpoint(request: Request) -> Response:
        operation = rows["GET" if request.method == "HEAD" else request.method]
        try:
            return await _call(operation, request, check)
        except MedMeshError as error:
            return refusal(request, error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return refusal(request, CoordinatorError("storage.full", path="the coordinator's data"))
            return _defect(request, path, error)
        except HTTPException:
            raise
        except Exception as error:
            return _defect(request, path, error)

    return endpoint


async def _call(operation: Operation, request: Request, check: CheckToken) -> Response:
    if operation.scopes is None:
        with acting(Actor("system", "public")):  # what proves itself by signature or invite says who it is
            return await cast(Public, operation.handler)(request)
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise CoordinatorError("token.missing")
    grant = await check(credential, request.client.host if request.client else "")
    if not operation.scopes & grant.scopes:
        raise CoordinatorError("token.scope", scopes=" or ".join(sorted(operation.scopes)))
    with acting(Actor("token", grant.owner)):
        return await cast(Scoped, operation.handler)(request, grant)


def _defect(request: Request, path: str, error: Exception) -> Response:
    """A fault of ours. The log names the route and the place, never what the sender wrote."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("%s %s: %s at %s:%s", request.method, path, type(error).__name__, frame.filename, frame.lineno)
    return refusal(request, CoordinatorError("defect", fault=type(error).__name__))


ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "remedy"],
            "properties": {k: {"type": "string"} for k in ("code", "message", "remedy")},
        }
    },
}


def openapi(operations: Sequence[Operation], title: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a table. Pure."""
    paths: dict[str, dict[str, Any]] = {}
    for row in operations:
        described = paths.setdefault(re.sub(r":[a-z]+}", "}", row.path), {})
        described[row.method.lower()] = _described(row)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "medmesh-token1"}},
            "schemas": {"Error": ERROR},
        },
    }


def _described(row: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for answer in row.answers:
        content = {} if answer.media_type is None else {"content": {answer.media_type: {"schema": answer.schema}}}
        answers[str(answer.status)] = {"description": answer.text, **content}
    answers["default"] = {
        "description": "Refused: a stable code, a sentence and a remedy",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    names = re.findall(r"{([a-z_0-9]+)(?::[a-z]+)?}", row.path)
    described: dict[str, Any] = {
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{row.method.lower()}{row.path.removeprefix('/v1')}").strip("_"),
        "summary": row.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": row.parameters.get(name, {"type": "string"})}
            for name in names
        ]
        + [{"name": name, "in": "header", "required": True, "schema": s} for name, s in row.headers.items()],
        "responses": answers,
        "security": [] if row.scopes is None else [{"token": sorted(row.scopes)}],
        "description": row.public or f"Needs a token with one of the scopes: {', '.join(sorted(row.scopes or ()))}.",
    }
    if row.body is not None:
        described["requestBody"] = {
            "required": True,
            "description": f"At most {row.body.most_bytes} bytes.",
            "content": {row.body.media_type: {"schema": row.body.schema}},
        }
    return described
