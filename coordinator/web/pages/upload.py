"""Sending a training set or a ready-trained model from the browser."""

from __future__ import annotations

import base64
import json
from typing import Any

from starlette.responses import Response

from coordinator.errors import CoordinatorError
from coordinator.uploads import declaration, whole
from coordinator.vetting.allowlist import Limits
from coordinator.web.bodies import blocks
from coordinator.web.multipart import FileForm
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View, quoted
from protocols.access import DATASET_UPLOAD, MODEL_UPLOAD, TRAIN
from protocols.imaging import MIN_EDGE_PX

_AROUND_BYTES = 64 * 1024 + declaration.MOST_GROUPS_BYTES  # of the form, beside the file


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def form(view: View) -> Response:
        limits = desk.config.uploads
        return view.render("upload.html", most=limits.largest_bytes, efforts=declaration.EFFORTS, least=MIN_EDGE_PX)

    async def send(view: View) -> Response:
        most = desk.config.uploads.largest_bytes
        sent, length = await _begun(view, {"groups_csv": declaration.MOST_GROUPS_BYTES}, most)
        told = _told(sent)
        if told["train"] and not view.may(TRAIN):
            raise CoordinatorError("access.denied", rights=TRAIN)
        return await _taken(view, desk, {"kind": "dataset", "dataset": told}, sent, min(length, most))

    most_of_a_model = min(Limits().file_bytes, desk.config.uploads.largest_bytes)

    async def model_form(view: View) -> Response:
        return view.render("model_upload.html", most=most_of_a_model)

    async def send_model(view: View) -> Response:
        sent, length = await _begun(view, {"labels": declaration.MOST_LABELS_BYTES}, most_of_a_model)
        if sent.ending not in declaration.MODEL_FORMATS:
            raise CoordinatorError("web.model_format", endings=", ".join(f".{e}" for e in declaration.MODEL_FORMATS))
        told = {"format": sent.ending, "description": _description(sent.files.get("labels", b""))}
        return await _taken(view, desk, {"kind": "model", "model": told}, sent, min(length, most_of_a_model))

    images, models = frozenset({DATASET_UPLOAD}), frozenset({MODEL_UPLOAD})
    return [
        Page("GET", "/upload", form, images),
        Page("POST", "/upload", send, images, streams=True),
        Page("GET", "/models/upload", model_form, models),
        Page("POST", "/models/upload", send_model, models, streams=True),
    ]


async def _begun(view: View, small: dict[str, int], limit: int) -> tuple[FileForm, int]:
    """A form up to its file, and the bytes that it announced.

    Raises:
        CoordinatorError: ``web.length``, ``web.form``, ``web.no_file`` or ``upload.too_large``.
    """
    length = view.request.headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 18):
        raise CoordinatorError("web.length")
    if int(length) > limit + _AROUND_BYTES:
        raise CoordinatorError("upload.too_large", size=int(length), limit=limit)
    sent = FileForm(view.request.headers.get("content-type", ""), blocks(view.request, int(length)), small)
    await sent.read_fields()
    if sent.streamed != "file":
        raise CoordinatorError("web.no_file")
    return sent, int(length)


async def _taken(view: View, desk: Desk, told: dict[str, Any], sent: FileForm, most_bytes: int) -> Response:
    """Keep the file, queue its job, and lead to that job's page."""
    assert view.principal is not None
    made = await whole.take(
        desk.uploads,
        desk.database,
        desk.home,
        told,
        most_bytes,
        sent.blocks(),
        view.principal,
        desk.clock(),
    )
    where = quoted("jobs", str(made["job"]))
    if view.request.headers.get("x-upload") == "script":
        return Response(status_code=200, headers={"X-Go-To": where})
    return view.to(where, done="queued")


def _description(labels: bytes) -> Any:
    """What a labels file says; the vetting judges it."""
    try:
        return json.loads(labels)
    except (ValueError, RecursionError) as error:
        raise CoordinatorError("web.labels_file") from error


def _told(sent: FileForm) -> dict[str, Any]:
    """What the fields say, as a declaration has it; what is wrong with it is said there."""
    fields = sent.fields
    edge = fields.get("min_edge_px", "")
    told: dict[str, Any] = {
        "disease": fields.get("disease", ""),
        "name": fields.get("name") or fields.get("disease", ""),
        "merge_classes": "merge_classes" in fields,
        "first_frame": "first_frame" in fields,
        "keep_originals": "keep_originals" in fields,
        "min_edge_px": int(edge) if edge.isascii() and edge.isdecimal() and len(edge) < 6 else MIN_EDGE_PX,
        "train": fields.get("train") or None,
    }
    if groups := sent.files.get("groups_csv"):
        told["groups_csv"] = base64.b64encode(groups).decode()
    return told
