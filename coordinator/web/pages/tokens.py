"""API tokens: made, shown once, revoked."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from coordinator.errors import CoordinatorError
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View, pages_of
from protocols.access import RIGHTS

EACH = 50


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        return await _listed(desk, view)

    async def make(view: View) -> Response:
        scopes = [s for s in view.form.all("scope") if s in RIGHTS and view.may(s)]
        if not scopes:
            raise CoordinatorError("web.field", field="scope", limit=len(RIGHTS))
        life = timedelta(days=view.form.number("days", 1, 400))
        made = await desk.tokens.create(view.form.text("owner", 80) or None, scopes, life, desk.clock())
        return await _listed(desk, view, made["token"])

    async def revoke(view: View) -> Response:
        await desk.tokens.revoke(view.form.text("token", 40, needed=True))
        return view.to("/tokens", done="revoked")

    keeper = frozenset({"token:manage"})
    return [
        Page("GET", "/tokens", listed, keeper),
        Page("POST", "/tokens", make, keeper),
        Page("POST", "/tokens/revoke", revoke, keeper),
    ]


async def _listed(desk: Desk, view: View, made: str | None = None) -> Response:
    found = list(reversed(await desk.tokens.list(desk.clock())))
    shown, page, count = pages_of(found, view.page(), EACH)
    scopes = [s for s in RIGHTS if view.may(s)]
    return view.render("tokens.html", tokens=shown, page=page, count=count, scopes=scopes, made=made)
