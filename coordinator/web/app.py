"""The HTTPS API for nodes: enrolment, model list, immutable artifacts, knowledge base entries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import Signature
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from coordinator.errors import CoordinatorError
from coordinator.nodes.authority import Authority
from coordinator.nodes.enrolment import Enrolment
from coordinator.releases.lifecycle import Releases
from coordinator.results.parcels import Parcels, Store
from coordinator.store.blobs import FolderBlobs
from disease_kb.diagnosis import diagnosis_aid
from disease_kb.store import KnowledgeBase
from protocols.artifacts import is_sha256
from protocols.console import NOTICE
from protocols.errors import MedMeshError
from protocols.parcels import MAX_PARCEL_BYTES

MAX_BODY_BYTES = 64 * 1024


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


async def read_json(request: Request) -> object:
    """A request's JSON body, read only up to the limit.

    Raises:
        CoordinatorError: ``api.too_large`` or ``enrol.bad_request``.
    """
    try:
        return json.loads(await read_body(request, MAX_BODY_BYTES))
    except (ValueError, RecursionError) as error:
        raise CoordinatorError("enrol.bad_request") from error


async def read_body(request: Request, most_bytes: int) -> bytes:
    """A request's body, read only up to the limit.

    Raises:
        CoordinatorError: ``api.too_large`` or ``enrol.bad_request``.
    """
    body = bytearray()
    try:
        async for block in request.stream():
            body += block
            if len(body) > most_bytes:
                raise CoordinatorError("api.too_large", limit=most_bytes)
    except ClientDisconnect as error:
        raise CoordinatorError("enrol.bad_request") from error
    return bytes(body)


def _file(folder: Path, name: str) -> Response:
    """A file of the repository; names that lead out of the folder are not found."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
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

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, MedMeshError)
        status_code = 413 if error.code == "api.too_large" else error.kind.http_status
        return JSONResponse(error.document(), status_code=status_code)

    async def missing(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse(CoordinatorError("api.not_found").document(), status_code=error.status_code)

    return Starlette(
        routes=[
            Route("/v1/status", status),
            Route("/v1/ca.pem", ca),
            Route("/v1/enrol", enrol, methods=["POST"]),
            Route("/v1/renew", renew, methods=["POST"]),
            Route("/v1/parcels", parcel, methods=["POST"]),
            Route("/v1/root.json", root),
            Route("/v1/tuf/metadata/{name}", metadata),
            Route("/v1/tuf/targets/{path:path}", target),
            Route("/v1/approvals/{release}", approval_request),
            Route("/v1/approvals/{release}", approve, methods=["POST"]),
            Route("/v1/artifacts/{sha256}", artifact),
            Route("/v1/kb/entries/{entry}", entry),
        ],
        exception_handlers={MedMeshError: refused, HTTPException: missing},
    )
