"""The API's one table: each row is a route, what it needs and what it answers. Routes and OpenAPI are both made from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coordinator.web.rows import COOKIE, Row

Schema = dict[str, Any]
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
class Operation(Row):
    """A row of the API.

    Attributes:
        answers: of requests that go well; failures all have the one form.
        body: what the request carries.
        parameters: schemas of path parameters.
        headers: schemas of required headers.
    """

    answers: Sequence[Answer] = ()
    body: Body | None = None
    parameters: dict[str, Schema] = field(default_factory=dict)
    headers: dict[str, Schema] = field(default_factory=dict)


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
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "medmesh-token1"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
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
        "security": [] if row.rights is None else [{"token": sorted(row.rights)}, {"session": []}],
        "description": row.public or f"Needs one of the rights: {', '.join(sorted(row.rights or ()))}.",
    }
    if row.body is not None:
        described["requestBody"] = {
            "required": True,
            "description": f"At most {row.body.most_bytes} bytes.",
            "content": {row.body.media_type: {"schema": row.body.schema}},
        }
    return described
