"""The audit trail: who did what, and whether the record of it is whole."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.audit.acts import ACTS
from coordinator.audit.checking import export, verify
from coordinator.audit.head import HeadFile
from coordinator.audit.log import Chosen
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View

EACH = 50


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        return await _listed(desk, view)

    async def check(view: View) -> Response:
        verdict = await verify(desk.trail, HeadFile(desk.home), desk.releases.repository, [], "")
        return await _listed(desk, view, verdict.document())

    async def download(view: View) -> Response:
        async with desk.database.begin() as connection:
            await record(connection, current.get(), "audit.export", "audit", {}, desk.clock())
        folder = tempfile.TemporaryDirectory(dir=desk.home.base)  # removed when it has been sent
        path = Path(folder.name) / "audit.jsonl"
        try:
            await export(desk.trail, HeadFile(desk.home), desk.releases.repository, path)
        except BaseException:
            folder.cleanup()
            raise
        cleanup = BackgroundTask(asyncio.to_thread, folder.cleanup)
        return FileResponse(path, media_type="application/jsonl", filename="audit.jsonl", background=cleanup)

    reader = frozenset({"audit:read"})
    return [
        Page("GET", "/audit", listed, reader),
        Page("POST", "/audit/verify", check, reader),
        Page("POST", "/audit/export", download, reader),
    ]


async def _listed(desk: Desk, view: View, verdict: dict[str, object] | None = None) -> Response:
    chosen = Chosen(None, view.query("actor") or None, view.query("act") or None, view.query("subject") or None)
    before = view.query("before", most=12)
    start = int(before) if before.isascii() and before.isdecimal() else None
    found = await desk.trail.newest(chosen, EACH + 1, start)
    shown = [row.document() for row in found[:EACH]]
    older = shown[-1]["number"] if len(found) > EACH else None
    return view.render("audit.html", acts=shown, known=ACTS, older=older, verdict=verdict)
