"""Sending a training set from the browser."""

from __future__ import annotations

import base64
from typing import Any

from starlette.responses import Response

from coordinator.errors import CoordinatorError
from coordinator.uploads import declaration, whole
from coordinator.web.bodies import blocks
from coordinator.web.multipart import FileForm
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View, quoted
from protocols.access import TRAIN
from protocols.imaging import MIN_EDGE_PX

_AROUND_BYTES = 64 * 1024 + declaration.MOST_GROUPS_BYTES  # of the form, beside the file


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def form(view: View) -> Response:
        limits = desk.config.uploads
        return view.render("upload.html", most=limits.largest_bytes, efforts=declaration.EFFORTS, least=MIN_EDGE_PX)

    async def send(view: View) -> Response:
        request, limits = view.request, desk.config.uploads
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 18):
            raise CoordinatorError("web.length")
        if int(length) > limits.largest_bytes + _AROUND_BYTES:
            raise CoordinatorError("upload.too_large", size=int(length), limit=limits.largest_bytes)
        small = {"groups_csv": declaration.MOST_GROUPS_BYTES}
        sent = FileForm(request.headers.get("content-type", ""), blocks(request, int(length)), small)
        await sent.read_fields()
        if sent.streamed != "file":
            raise CoordinatorError("web.no_file")
        told = _told(sent)
        if told["train"] and not view.may(TRAIN):
            raise CoordinatorError("access.denied", rights=TRAIN)
        assert view.principal is not None
        made = await whole.take(
            desk.uploads,
            desk.database,
            desk.home,
            {"kind": "dataset", "dataset": told},
            min(int(length), limits.largest_bytes),
            sent.blocks(),
            view.principal,
            desk.clock(),
        )
        where = quoted("jobs", str(made["job"]))
        if request.headers.get("x-upload") == "script":
            return Response(status_code=200, headers={"X-Go-To": where})
        return view.to(where, done="queued")

    allowed = frozenset({"dataset:upload"})
    return [Page("GET", "/upload", form, allowed), Page("POST", "/upload", send, allowed, streams=True)]


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
