"""The table of routes: whom each serves, and that its description is true."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coordinator.web.operations import Answer, Operation, openapi
from coordinator.web.rows import routes
from protocols.access import Principal
from tests.support.uploads import Office, office

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/v1/status"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/ca.pem"),
    ("POST", "/v1/enrol"),
    ("POST", "/v1/renew"),
    ("POST", "/v1/parcels"),
    ("GET", "/v1/root.json"),
    ("GET", "/v1/tuf/metadata/{name}"),
    ("GET", "/v1/tuf/targets/{path:path}"),
    ("GET", "/v1/approvals/{release}"),
    ("POST", "/v1/approvals/{release}"),
    ("GET", "/v1/artifacts/{sha256}"),
    ("GET", "/v1/kb/entries/{entry}"),
}


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as found:
        yield found


async def test_only_these_routes_are_public_and_each_says_why(opened: Office) -> None:
    assert {(r.method, r.path) for r in opened.rows if r.rights is None} == PUBLIC
    assert all(r.public for r in opened.rows if r.rights is None)


def test_a_row_that_says_nothing_of_access_cannot_be_made() -> None:
    async def handler(_: Request) -> Response:
        return Response()

    for rights, public in ((None, ""), (frozenset(), ""), (frozenset({"train"}), "also public")):
        with pytest.raises(ValueError, match="needs rights"):
            Operation("GET", "/x", handler, "", [], rights=rights, public=public)


async def test_the_document_holds_exactly_the_routes(opened: Office) -> None:
    async with opened.uploader() as client:
        document = (await client.get("/v1/openapi.json")).json()
    described = {(m.upper(), p) for p, row in document["paths"].items() for m in row}
    served = {
        (m, r.path.replace(":path", ""))
        for r in opened.app.routes
        if r.path not in {page.path for page in opened.pages}  # type: ignore[attr-defined]
        for m in r.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert described == served and document["openapi"].startswith("3.1")
    ids = [row["operationId"] for path in document["paths"].values() for row in path.values()]
    assert len(set(ids)) == len(ids)


async def test_other_methods_are_told_which_there_are(opened: Office) -> None:
    async with opened.uploader() as client:
        answer = await client.patch("/v1/approvals/x@1")
        assert answer.status_code == 405 and answer.json()["error"]["code"] == "api.not_found"
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
        assert (await client.options("/v1/uploads")).status_code == 405
        head = await client.head("/v1/status")
        assert (head.status_code, head.content) == (200, b"")
        nothing = await client.get("/v2/anything")
        assert nothing.status_code == 404 and nothing.json()["error"]["remedy"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tuf/metadata/" + "a" * 5000,
        "/v1/tuf/metadata/a%00b",
        "/v1/tuf/targets/..%2f..%2fkeys%2fca.key",
        "/v1/tuf/targets/%ff%fe",
        "/v1/artifacts/..%2f",
        "/v1/kb/entries/%00",
    ],
)
async def test_odd_names_are_simply_not_there(opened: Office, path: str) -> None:
    async with opened.uploader() as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("body", [b'{"token": "\\ud800", "name": "x", "csr": ""}', b"[" * 60_000, b"NaN", b"9" * 9999])
async def test_text_that_is_no_text_is_a_bad_request(opened: Office, body: bytes) -> None:
    async with opened.uploader() as client:
        answer = await client.post("/v1/enrol", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "enrol.bad_request")


async def test_a_refusal_speaks_the_readers_language(opened: Office) -> None:
    async with opened.uploader() as client:
        answer = await client.get("/v1/jobs", headers={"Accept-Language": "zh-CN"})
    assert "令牌" in answer.json()["error"]["message"]


async def test_a_defect_tells_the_log_where_and_never_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    import httpx

    async def broken(request: Request) -> Response:
        raise RuntimeError(f"patient {request.query_params['q']}\nforged line")

    rows = [Operation("GET", "/v1/x", broken, "", [Answer(200, "")], public="test")]
    app = Starlette(routes=routes(rows))
    with caplog.at_level(logging.DEBUG, "medmesh"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://n") as client:
            answer = await client.get("/v1/x?q=Zhang")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "defect")
    assert "RuntimeError" in caplog.text and "Zhang" not in caplog.text and "forged" not in caplog.text
    assert "Zhang" not in answer.text


def test_the_document_is_made_of_the_rows() -> None:
    async def handler(_: Request, __: Principal) -> Response:
        return JSONResponse({})

    row = Operation("PUT", "/v1/x/{a}", handler, "Does x", [Answer(204, "Gone", None)], rights=frozenset({"train"}))
    described = openapi([row], "T", "1")["paths"]["/v1/x/{a}"]["put"]
    assert described["security"] == [{"token": ["train"]}, {"session": []}] and set(described["responses"]) == {
        "204",
        "default",
    }
    assert described["parameters"] == [{"name": "a", "in": "path", "required": True, "schema": {"type": "string"}}]
