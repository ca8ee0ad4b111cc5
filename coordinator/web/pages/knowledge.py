"""The knowledge base: searching, reading, and recording a clinician's review."""

from __future__ import annotations

from starlette.responses import Response

from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.errors import CoordinatorError
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.texts import mark
from coordinator.web.views import View, pages_of, quoted
from disease_kb.document import digest
from disease_kb.model import FieldName, ReviewStatus
from disease_kb.review import review as reviewed

EACH = 50
_FIELDS: tuple[tuple[FieldName, str], ...] = (
    ("synonym", mark("Other names")),
    ("definition", mark("Definition")),
    ("red_flag", mark("Red flags")),
    ("symptom", mark("Symptoms")),
    ("image_sign", mark("Signs in the image")),
    ("differential", mark("To tell apart from")),
    ("management", mark("Management")),
    ("prevention", mark("Prevention")),
)
_STATUSES: tuple[ReviewStatus, ...] = ("draft", "reviewed", "retired")


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        text, status = view.query("find"), view.query("review")
        entries = await desk.knowledge.entries()
        drafts = sum(e.review.status == "draft" for e in entries)
        if text:
            by_id = {e.id: e for e in entries}
            hits = await desk.knowledge.search(text, 200)
            entries = [by_id[h.id] for h in hits if h.id in by_id]
        found = [e for e in entries if not status or e.review.status == status]
        shown, page, count = pages_of(found, view.page(), EACH)
        return view.render("knowledge.html", entries=shown, drafts=drafts, page=page, count=count, statuses=_STATUSES)

    async def one(view: View) -> Response:
        entry = await desk.knowledge.get(view.request.path_params["entry"])
        if entry is None:
            raise CoordinatorError("api.not_found")
        return view.render("entry.html", entry=entry, fields=_FIELDS, digest=digest(entry), statuses=_STATUSES)

    async def review(view: View) -> Response:
        entry = await desk.knowledge.get(view.request.path_params["entry"])
        if entry is None:
            raise CoordinatorError("api.not_found")
        status = view.form.text("status", 20, needed=True)
        if status not in _STATUSES:
            raise CoordinatorError("web.field", field="status", limit=20)
        by, seen = view.form.text("by", 400, needed=True), view.form.text("digest", 64, needed=True)
        translations = view.form.on("translations")
        changed = reviewed(entry, status, by, desk.clock().date(), translations=translations)
        told = {"status": status, "by": by.strip(), "translations": translations, "read": seen}
        # Two stores: the record waits, uncommitted, until the knowledge base has taken the review.
        async with desk.database.begin() as connection:
            await record(connection, current.get(), "kb.review", entry.id, told, desk.clock())
            await desk.knowledge.write([changed], expected={entry.id: seen})  # what the reviewer read is what is marked
        return view.to(quoted("knowledge", entry.id), done="reviewed")

    see = frozenset({"view"})
    return [
        Page("GET", "/knowledge", listed, see),
        Page("GET", "/knowledge/{entry}", one, see),
        Page("POST", "/knowledge/{entry}/review", review, frozenset({"kb:review"})),
    ]
