"""People who sign in: made with a link, given another role, let go."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from coordinator.access.roles import Role
from coordinator.errors import CoordinatorError
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.sites import qr
from coordinator.web.pages.table import Page
from coordinator.web.views import View, pages_of

EACH = 50


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        return await _listed(desk, view)

    async def add(view: View) -> Response:
        name = view.form.text("name", 80, needed=True)
        await desk.users.add(name, _role(view), desk.clock(), by=view.principal)
        return await _linked(desk, view, name)

    async def link(view: View) -> Response:
        return await _linked(desk, view, view.form.text("name", 80, needed=True))

    async def role(view: View) -> Response:
        await desk.users.set_role(view.form.text("name", 80, needed=True), _role(view), view.principal)
        return view.to("/users", done="role")

    async def remove(view: View) -> Response:
        if not view.form.on("sure"):
            raise CoordinatorError("web.unconfirmed")
        await desk.users.remove(view.form.text("name", 80, needed=True), view.principal)
        return view.to("/users", done="removed")

    keeper = frozenset({"user:manage"})
    return [
        Page("GET", "/users", listed, keeper),
        Page("POST", "/users", add, keeper),
        Page("POST", "/users/link", link, keeper),
        Page("POST", "/users/role", role, keeper),
        Page("POST", "/users/remove", remove, keeper),
    ]


def _role(view: View) -> Role:
    try:
        return Role(view.form.text("role", 20, needed=True))
    except ValueError as error:
        raise CoordinatorError("web.field", field="role", limit=20) from error


async def _linked(desk: Desk, view: View, name: str) -> Response:
    made = await desk.users.link(name, desk.clock(), view.principal)
    return await _listed(desk, view, {**made, "link": desk.url.rstrip("/") + made["path"]})


async def _listed(desk: Desk, view: View, made: dict[str, Any] | None = None) -> Response:
    shown, page, count = pages_of(await desk.users.list(), view.page(), EACH)
    code = qr(made["link"]) if made else None
    return view.render("users.html", users=shown, page=page, count=count, roles=list(Role), made=made, code=code)
