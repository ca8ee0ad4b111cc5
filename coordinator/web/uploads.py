"""The rows for uploads and jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coordinator.access import owners
from coordinator.errors import CoordinatorError
from coordinator.jobs import queue
from coordinator.jobs.queue import Queue
from coordinator.store.database import Database
from coordinator.uploads import declaration
from coordinator.uploads.declaration import LEAST_PART_BYTES, MOST_BYTES, MOST_PART_BYTES
from coordinator.uploads.store import Uploads
from coordinator.web.bodies import blocks, content_digest, need_type, read_json
from coordinator.web.operations import BYTES, JSON, Answer, Body, Operation, Schema
from coordinator.web.rows import language, require
from protocols import access
from protocols.access import Principal
from protocols.imaging import MIN_EDGE_PX
from protocols.manifest import SLUG

MAX_DECLARATION_BYTES = 2 * declaration.MOST_GROUPS_BYTES  # the groups file in base64, and the rest
_UPLOAD_ID, _JOB_ID, _NUMBER = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{10}"), re.compile(r"[0-9]{1,6}")

_SLUG: Schema = {"type": "string", "pattern": f"^{SLUG.pattern}$"}
_SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_UPLOAD_PATH: Schema = {"type": "string", "pattern": f"^{_UPLOAD_ID.pattern}$"}
_JOB_PATH: Schema = {"type": "string", "pattern": f"^{_JOB_ID.pattern}$"}
_EFFORT: Schema = {"enum": list(declaration.EFFORTS)}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, closed: bool = False) -> Schema:
    found: Schema = {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}
    return {**found, "additionalProperties": False} if closed else found


_WHOLE: dict[str, Schema] = {
    "size": {"type": "integer", "minimum": 1, "maximum": MOST_BYTES},
    "sha256": _SHA256,
    "part_bytes": {"type": "integer", "minimum": LEAST_PART_BYTES, "maximum": MOST_PART_BYTES},
}
_DATASET = _object(
    {"disease": _SLUG, "name": _SLUG},
    {
        "merge_classes": {"type": "boolean"},
        "first_frame": {"type": "boolean"},
        "keep_originals": {"type": "boolean"},
        "min_edge_px": {"type": "integer", "minimum": MIN_EDGE_PX, "maximum": 10_000},
        "groups_csv": {"type": ["string", "null"], "contentEncoding": "base64"},
        "train": {"enum": [*declaration.EFFORTS, None]},
    },
    closed=True,
)
_MODEL = _object({"format": {"enum": list(declaration.MODEL_FORMATS)}, "description": {"type": "object"}}, closed=True)
_DECLARATION: Schema = {
    "oneOf": [
        _object({"kind": {"const": "dataset"}, **_WHOLE, "dataset": _DATASET}, closed=True),
        _object({"kind": {"const": "model"}, **_WHOLE, "model": _MODEL}, closed=True),
    ]
}
_STATE = _object(
    {
        "upload": {"type": "string"},
        "kind": {"enum": ["dataset", "model"]},
        "size": _COUNT,
        "part_bytes": _COUNT,
        "parts": _COUNT,
        "missing": {"type": "array", "items": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}},
        "received_bytes": _COUNT,
        "job": _MAYBE_TEXT,
        "expires": {"type": "string"},
    }
)
_LINE: dict[str, Schema] = {
    "job": {"type": "string"},
    "kind": {"enum": ["import", "model_import", "train", "propose"]},
    "subject": {"type": "string"},
    "owner": {"type": "string"},
    "state": {"enum": ["queued", "running", *queue.ENDED]},
    "part": {"type": "string"},
    "done": _COUNT,
    "total": _COUNT,
    "attempts": _COUNT,
    "created": {"type": "string"},
    "started": _MAYBE_TEXT,
    "ended": _MAYBE_TEXT,
}
_FAILURE = _object({"code": {"type": "string"}, "message": {"type": "string"}, "remedy": {"type": "string"}})
_JOB = _object(
    {**_LINE, "result": {"type": ["object", "null"]}, "error": {"anyOf": [_FAILURE, {"type": "null"}]}},
)
_QUEUED = _object({"upload": {"type": "string"}, "job": {"type": "string"}})
_UPLOADERS = frozenset({access.DATASET_UPLOAD, access.MODEL_UPLOAD})
_WORKERS = frozenset({access.DATASET_UPLOAD, access.MODEL_UPLOAD, access.TRAIN, access.JOB_ANY})
_READERS = _WORKERS | {access.VIEW}


def operations(
    uploads: Uploads, jobs: Queue, database: Database, owner_jobs: int, clock: Callable[[], datetime]
) -> list[Operation]:
    """The rows of uploads and jobs."""

    async def create(request: Request, who: Principal) -> Response:
        need_type(request, JSON)
        with uploads.streaming(who.name):
            declared = declaration.read(await read_json(request, MAX_DECLARATION_BYTES, "upload.malformed"))
        require(frozenset({access.DATASET_UPLOAD if declared.kind == "dataset" else access.MODEL_UPLOAD}), who)
        if declared.options.get("train"):
            require(frozenset({access.TRAIN}), who)
        state, new = await uploads.create(declared, who, clock())
        return JSONResponse(state, 201 if new else 200, {"Location": f"/v1/uploads/{state['upload']}"})

    async def state(request: Request, who: Principal) -> Response:
        return JSONResponse(await uploads.state(_upload(request), who))

    async def part(request: Request, who: Principal) -> Response:
        need_type(request, BYTES)
        upload, number = _upload(request), request.path_params["number"]
        if not _NUMBER.fullmatch(number):
            raise CoordinatorError("api.not_found")
        sha256, body = content_digest(request), blocks(request, MOST_PART_BYTES)
        return JSONResponse(await uploads.receive(upload, int(number), sha256, body, who, clock()))

    async def complete(request: Request, who: Principal) -> Response:
        return JSONResponse(await uploads.complete(_upload(request), who, clock()), 202)

    async def abort(request: Request, who: Principal) -> Response:
        await uploads.abort(_upload(request), who)
        return Response(status_code=204)

    async def job_list(_: Request, who: Principal) -> Response:
        return JSONResponse({"jobs": await jobs.list(_shown(who))})

    async def job_show(request: Request, who: Principal) -> Response:
        document = await jobs.show(_job(request), _shown(who))
        return JSONResponse(told(document, request))

    async def job_cancel(request: Request, who: Principal) -> Response:
        document = await jobs.cancel(_job(request), _whose(who), clock())
        return JSONResponse(told(document, request), 202)

    async def train(request: Request, who: Principal) -> Response:
        need_type(request, JSON)
        match await read_json(request, malformed="upload.malformed"):
            case {"dataset": str(name), "effort": effort, **rest} if SLUG.fullmatch(name) and not rest:
                options = {"effort": declaration.effort(effort)}
            case _:
                raise CoordinatorError("upload.malformed", field="dataset, effort")
        wanted = queue.Request("train", name, who.name, who.rights, options)
        async with database.begin() as connection:
            if not await owners.check(connection, name, who.name, who.rights):
                raise CoordinatorError("dataset.unknown", name=name)
            job = await queue.enqueue(connection, wanted, clock(), owner_jobs)
        return JSONResponse(told(await jobs.show(job), request), 202)

    one, job = {"upload": _UPLOAD_PATH}, {"job": _JOB_PATH}
    digest: Schema = {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"}
    number: Schema = {"type": "integer", "minimum": 0, "maximum": declaration.MOST_PARTS - 1}
    wanted = _object({"dataset": _SLUG, "effort": _EFFORT}, closed=True)
    octets: Schema = {"type": "string", "contentMediaType": BYTES}
    return [
        Operation(
            "POST", "/v1/uploads", create,
            "Declare an upload; the same declaration once more finds the upload that is open",
            [Answer(201, "A new upload", schema=_STATE), Answer(200, "The one that is open", schema=_STATE)],
            rights=_UPLOADERS, body=Body(JSON, _DECLARATION, MAX_DECLARATION_BYTES),
        ),
        Operation(
            "GET", "/v1/uploads/{upload}", state, "Which parts are missing",
            [Answer(200, "State", schema=_STATE)], rights=_UPLOADERS, parameters=one,
        ),
        Operation(
            "PUT", "/v1/uploads/{upload}/parts/{number}", part, "Send one part; once more is the same",
            [Answer(200, "The part is there")], rights=_UPLOADERS, parameters={**one, "number": number},
            headers={"Content-Digest": digest}, body=Body(BYTES, octets, MOST_PART_BYTES),
        ),
        Operation(
            "POST", "/v1/uploads/{upload}/complete", complete, "All parts are there: queue the import",
            [Answer(202, "Queued", schema=_QUEUED)], rights=_UPLOADERS, parameters=one,
        ),
        Operation(
            "DELETE", "/v1/uploads/{upload}", abort, "Give an upload up",
            [Answer(204, "Deleted", media_type=None)], rights=_UPLOADERS, parameters=one,
        ),
        Operation(
            "GET", "/v1/jobs", job_list, "One's own jobs, newest first; all of them with view or job:any",
            [Answer(200, "Jobs", schema=_object({"jobs": {"type": "array", "items": _object(_LINE)}}))],
            rights=_READERS,
        ),
        Operation(
            "GET", "/v1/jobs/{job}", job_show, "A job's progress, then its result or error",
            [Answer(200, "Job", schema=_JOB)], rights=_READERS, parameters=job,
        ),
        Operation(
            "POST", "/v1/jobs/{job}/cancel", job_cancel, "Cancel a job",
            [Answer(202, "It will not go on", schema=_JOB)], rights=_WORKERS, parameters=job,
        ),
        Operation(
            "POST", "/v1/trainings", train, "Queue a training of a data set that one may write to",
            [Answer(202, "Queued", schema=_JOB)], rights=frozenset({access.TRAIN}), body=Body(JSON, wanted, 65536),
        ),
    ]  # fmt: skip


def told(job: dict[str, object], request: Request) -> dict[str, object]:
    """A job with its error in the reader's language."""
    error = job["error"]
    if not isinstance(error, dict):
        return job
    chosen = language(request)
    return {**job, "error": {**error, "message": error["message"][chosen], "remedy": error["remedy"][chosen]}}


def _whose(who: Principal) -> str | None:
    return None if who.may(access.JOB_ANY) else who.name


def _shown(who: Principal) -> str | None:
    return None if who.may(access.VIEW) else _whose(who)


def _upload(request: Request) -> str:
    return _id(request.path_params["upload"], _UPLOAD_ID, "upload.unknown", "upload")


def _job(request: Request) -> str:
    return _id(request.path_params["job"], _JOB_ID, "job.unknown", "job")


def _id(text: str, pattern: re.Pattern[str], code: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise CoordinatorError(code, **{what: text.encode("unicode_escape").decode()[:40]})
    return text
