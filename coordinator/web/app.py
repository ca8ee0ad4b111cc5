"""The HTTPS API for nodes: enrolment, model list, immutable artifacts, knowledge base entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from securesystemslib.signer import Signature
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from coordinator.errors import CoordinatorError
from coordinator.nodes.authority import Authority
from coordinator.nodes.enrolment import Enrolment
from coordinator.releases.lifecycle import Releases
from coordinator.results.parcels import Parcels, Store
from coordinator.store.blobs import FolderBlobs
from coordinator.web.bodies import MAX_BODY_BYTES, read_body, read_json
from coordinator.web.gate import Gate
from coordinator.web.operations import (
    BYTES,
    JSON,
    Answer,
    Body,
    Operation,
    Schema,
    openapi,
)
from coordinator.web.rows import Row, http_refusal, routes
from disease_kb.diagnosis import diagnosis_aid
from disease_kb.store import KnowledgeBase
from protocols.artifacts import is_sha256
from protocols.console import NOTICE
from protocols.parcels import MAX_PARCEL_BYTES

_OBJECT: Schema = {"type": "object"}
_TEXT: Schema = {"type": "string"}
_SIGNATURE: Schema = {
    "type": "object",
    "required": ["keyid", "sig"],
    "properties": {"keyid": {"type": "string", "maxLength": 64}, "sig": {"type": "string", "maxLength": 200}},
}


@dataclass(frozen=True)
class Services:
    """What the routes need."""

    name: str
    node_url: str
    authority: Authority
    enrolment: Enrolment
    releases: Releases
    artifacts: FolderBlobs
    knowledge: KnowledgeBase
    parcels: Parcels
    store_reports: Store
    clock: Callable[[], datetime]
    gate: Gate
    more: Sequence[Operation] = ()  # rows of other parts
    pages: Sequence[Row] = ()  # rows for browsers


def _file(folder: Path, name: str) -> Response:
    """A file of the repository; names that lead out of the folder are not found."""
    try:
        path = (folder / name).resolve()
        found = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        found = False
    if not found:
        raise CoordinatorError("api.not_found")
    return FileResponse(path, media_type="application/json")


def make_app(services: Services) -> Starlette:
    """Build the application."""

    async def status(_: Request) -> Response:
        return JSONResponse(
            {
                "coordinator": services.name,
                "serial": await services.releases.serial(),
                "node_url": services.node_url,
                "notice": NOTICE["en"],
            }
        )

    async def ca(_: Request) -> Response:
        return PlainTextResponse(services.authority.pem.decode(), media_type="application/x-pem-file")

    async def enrol(request: Request) -> Response:
        body = await read_json(request)
        return JSONResponse(await services.enrolment.enrol(body, services.node_url, services.name, services.clock()))

    async def renew(request: Request) -> Response:
        return JSONResponse(await services.enrolment.renew(await read_json(request), services.clock()))

    async def parcel(request: Request) -> Response:
        data = await read_body(request, MAX_PARCEL_BYTES)
        receipt = await services.parcels.take(data, services.store_reports, services.clock())
        return Response(receipt, media_type="application/octet-stream")

    async def root(_: Request) -> Response:
        return Response(services.releases.repository.root_bytes(), media_type="application/json")

    async def metadata(request: Request) -> Response:
        return _file(services.releases.repository.metadata, request.path_params["name"])

    async def target(request: Request) -> Response:
        return _file(services.releases.repository.targets, request.path_params["path"])

    async def approval_request(request: Request) -> Response:
        return JSONResponse(await services.releases.request(request.path_params["release"]))

    async def approve(request: Request) -> Response:
        match await read_json(request):
            case {"keyid": str(keyid), "sig": str(value)} if len(keyid) <= 64 and len(value) <= 200:
                signature = Signature(keyid, value)
            case _:
                raise CoordinatorError("enrol.bad_request")
        name = request.path_params["release"]
        return JSONResponse(await services.releases.add_signature(name, signature, services.clock()))

    async def artifact(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        if not is_sha256(sha256) or not services.artifacts.has(sha256):
            raise CoordinatorError("api.not_found")
        return FileResponse(
            services.artifacts.path(sha256),
            media_type="application/octet-stream",
            headers={"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{sha256}"'},
        )

    async def entry(request: Request) -> Response:
        found = await services.knowledge.get(request.path_params["entry"])
        if found is None:
            raise CoordinatorError("api.not_found")
        return JSONResponse({"kb_version": await services.knowledge.version(), "entry": diagnosis_aid(found)})

    async def described(_: Request) -> Response:
        return JSONResponse(document)

    signed, sealed = "Signed metadata that anybody may check", "Proves itself by signature"
    rows = [
        Operation("GET", "/v1/status", status, "Who this is", [Answer(200, "Status")], public="Tells nothing private"),
        Operation(
            "GET", "/v1/openapi.json", described, "This document", [Answer(200, "OpenAPI 3.1")], public="Tells nothing private"
        ),
        Operation(
            "GET", "/v1/ca.pem", ca, "The certificate authority, to compare with a fingerprint",
            [Answer(200, "PEM", "application/x-pem-file", _TEXT)], public="A certificate is public",
        ),
        Operation(
            "POST", "/v1/enrol", enrol, "Join with an invite", [Answer(200, "The node's certificate")],
            public="The invite's one-time token is in the body", body=Body(JSON, _OBJECT, MAX_BODY_BYTES),
        ),
        Operation(
            "POST", "/v1/renew", renew, "Renew a node's certificate", [Answer(200, "The node's certificate")],
            public=sealed, body=Body(JSON, _OBJECT, MAX_BODY_BYTES),
        ),
        Operation(
            "POST", "/v1/parcels", parcel, "Hand in a node's sealed results", [Answer(200, "Receipt", BYTES, _TEXT)],
            public=sealed, body=Body(BYTES, _TEXT, MAX_PARCEL_BYTES),
        ),
        Operation("GET", "/v1/root.json", root, "The root of trust", [Answer(200, "Root metadata")], public=signed),
        Operation(
            "GET", "/v1/tuf/metadata/{name}", metadata, "TUF metadata", [Answer(200, "Metadata")], public=signed
        ),
        Operation(
            "GET", "/v1/tuf/targets/{path:path}", target, "TUF targets: release manifests and rollouts",
            [Answer(200, "Target")], public=signed,
        ),
        Operation(
            "GET", "/v1/approvals/{release}", approval_request, "What an approver is to sign",
            [Answer(200, "Document and draft")], public="Approvers know releases by name, and sign with their own keys",
        ),
        Operation(
            "POST", "/v1/approvals/{release}", approve, "Hand in an approver's signature",
            [Answer(200, "The release's state")], public=sealed,
            body=Body(JSON, _SIGNATURE, MAX_BODY_BYTES),
        ),
        Operation(
            "GET", "/v1/artifacts/{sha256}", artifact, "A file of a release, by digest",
            [Answer(200, "The file", BYTES, _TEXT)], public="Released files are public; mirrors may serve them too",
        ),
        Operation(
            "GET", "/v1/kb/entries/{entry}", entry, "A knowledge base entry", [Answer(200, "Entry")],
            public="The knowledge base is public",
        ),
        *services.more,
    ]  # fmt: skip
    document = openapi(rows, "MedMesh coordinator", version("medmesh"))
    app = Starlette(
        routes=routes([*rows, *services.pages]),
        exception_handlers={HTTPException: http_refusal},
        middleware=[Middleware(services.gate.guard)],
    )
    app.router.redirect_slashes = False  # a redirect would repeat whatever host name the sender gave
    app.state.operations, app.state.pages = rows, services.pages
    return app
