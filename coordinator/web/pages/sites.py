"""The fleet: which sites are in touch, who joins, who is turned away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import segno
from markupsafe import Markup
from sqlalchemy import select
from starlette.responses import Response

from coordinator.errors import CoordinatorError
from coordinator.store.tables import heartbeats, nodes
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.overview import STALE
from coordinator.web.pages.table import Page
from coordinator.web.views import View, pages_of, quoted

EACH = 50
ORDERS = ("name", "site", "heard", "enrolled")
State = Literal["current", "stale", "never", "revoked"]


@dataclass(frozen=True)
class Standing:
    """One node as the list shows it."""

    node: str
    name: str
    site: str
    groups: tuple[str, ...]
    enrolled: str
    heard: str  # empty: never
    state: State
    program: str = ""  # as it said last; empty: nothing
    free_bytes: int | None = None
    waiting: int | None = None  # results that it has not brought yet


def state(revoked: bool, heard: str, now: datetime) -> State:
    """How a node stands. Pure."""
    if revoked:
        return "revoked"
    if not heard:
        return "never"
    return "stale" if now - datetime.fromisoformat(heard) > STALE else "current"


def chosen(standings: list[Standing], text: str, wanted: str, order: str, down: bool) -> list[Standing]:
    """Those that match, in order. Pure."""
    needle = text.casefold()
    found = [
        s
        for s in standings
        if (not wanted or s.state == wanted)
        and (not needle or any(needle in part.casefold() for part in (s.node, s.name, s.site, *s.groups)))
    ]
    key = order if order in ORDERS else "name"
    return sorted(found, key=lambda s: (str(getattr(s, key)).casefold(), s.node), reverse=down)


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        standings = await _standings(desk)
        order, direction = view.query("order", "name"), view.query("direction", "up")
        found = chosen(standings, view.query("find"), view.query("state"), order, direction == "down")
        shown, page, count = pages_of(found, view.page(), EACH)
        return view.render(
            "sites.html",
            standings=shown,
            total=len(standings),
            matching=len(found),
            page=page,
            count=count,
            order=order,
            direction=direction,
        )

    async def one(view: View) -> Response:
        site = await _one(desk, view.request.path_params["node"])
        return view.render("site.html", site=site, told=await desk.fleet.node(site.node, desk.clock()))

    async def drift(view: View) -> Response:
        counted = await desk.drifting.newest()
        return view.render("drift.html", alarms=[alarm.document() for alarm in counted.alarms], at=counted.at)

    async def invite_form(view: View) -> Response:
        return view.render("invite.html", invite=None)

    async def invite(view: View) -> Response:
        made = await desk.enrolment.invite(
            view.form.text("site", 120), view.form.words("groups"), desk.url, desk.clock()
        )
        return view.render("invite.html", invite={**made, "qr": qr(made["invite"])})

    async def revoke(view: View) -> Response:
        node = view.request.path_params["node"]
        if not view.form.on("sure"):
            raise CoordinatorError("web.unconfirmed")
        await desk.enrolment.revoke((await _one(desk, node)).node)
        await desk.releases.announce(desk.clock())
        return view.to(quoted("sites", node), done="revoked")

    view, manage = frozenset({"view"}), frozenset({"node:manage"})
    return [
        Page("GET", "/sites", listed, view),
        Page("GET", "/sites/invite", invite_form, manage),
        Page("POST", "/sites/invite", invite, manage),
        Page("GET", "/sites/drift", drift, view),
        Page("GET", "/sites/{node}", one, view),
        Page("POST", "/sites/{node}/revoke", revoke, manage),
    ]


def qr(text: str) -> Markup:
    """A QR code as an SVG element; what it says is drawn, never written into the page."""
    drawn = segno.make(text, error="m").svg_inline(border=2, dark="#000", light="#fff", omitsize=True)
    return Markup(drawn)


async def _standings(desk: Desk) -> list[Standing]:
    columns = (nodes.c.id, nodes.c.name, nodes.c.site, nodes.c.groups, nodes.c.revoked, nodes.c.enrolled)
    query = select(*columns, nodes.c.last_seen, heartbeats.c.seen, heartbeats.c.document).outerjoin(heartbeats)
    async with desk.database.read() as connection:
        found = (await connection.execute(query)).all()
    return [_standing(row, desk.clock()) for row in found]


def _standing(row: Any, now: datetime) -> Standing:
    heard, told = max(row.last_seen or "", row.seen or ""), row.document or {}
    return Standing(
        row.id,
        row.name,
        row.site,
        tuple(row.groups),
        row.enrolled,
        heard,
        state(row.revoked, heard, now),
        told.get("program", ""),
        told["storage"][1] if told else None,
        told["outbox"][0] if told else None,
    )


async def _one(desk: Desk, node: str) -> Standing:
    found = next((s for s in await _standings(desk) if s.node == node), None)
    if found is None:
        raise CoordinatorError("node.unknown", name=node.encode("unicode_escape").decode()[:40])
    return found
