"""Releases: gates, approvals, where they are, and the acts of a release manager."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from starlette.responses import Response

from coordinator.errors import CoordinatorError
from coordinator.releases.asking import Asked
from coordinator.releases.stages import USUAL, StagedPlan, read_stages
from coordinator.store.tables import approvals, releases, results
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.sites import qr
from coordinator.web.pages.table import Page
from coordinator.web.views import View, pages_of, quoted

EACH = 50
STATES = ("proposed", "approved", "released", "paused", "rolled back", "withdrawn")


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        found = await _all(desk, view.query("state"), view.query("find"))
        shown, page, count = pages_of(found, view.page(), EACH)
        return view.render(
            "releases.html",
            releases=shown,
            states=STATES,
            needed=desk.releases.repository.threshold(),
            page=page,
            count=count,
        )

    async def one(view: View) -> Response:
        release = await desk.rollouts.show(_name(view), desk.clock())
        asked = None
        if release["state"] == "proposed":
            digest = await desk.releases.digest(release["release"])
            asked = Asked(desk.url, desk.ca_sha256, release["release"], digest).encode()
        async with desk.database.read() as connection:
            query = select(results.c.outcome, func.count().label("number")).where(
                results.c.release == release["release"]
            )
            outcomes = {r.outcome: r.number for r in await connection.execute(query.group_by(results.c.outcome))}
        return view.render(
            "release.html",
            release=release,
            usual=USUAL,
            asked=asked,
            code=qr(asked) if asked else None,
            outcomes=outcomes,
        )

    async def rollout(view: View) -> Response:
        name = _name(view)
        percent = view.form.number("percent", 0, 100)
        await desk.releases.rollout(name, percent, view.form.words("groups"), desk.clock())
        return view.to(quoted("releases", name), done="rolled-out")

    async def staged(view: View) -> Response:
        plan = StagedPlan(read_stages(view.form.text("stages", 200, needed=True)), view.form.words("groups"))
        await desk.rollouts.start(_name(view), plan, desk.clock())
        return view.to(quoted("releases", _name(view)), done="rolled-out")

    async def further(view: View) -> Response:
        await desk.rollouts.next(_name(view), desk.clock())
        return view.to(quoted("releases", _name(view)), done="next")

    async def pause(view: View) -> Response:
        await desk.releases.pause(_name(view), desk.clock())
        return view.to(quoted("releases", _name(view)), done="paused")

    async def resume(view: View) -> Response:
        await desk.releases.resume(_name(view), desk.clock())
        return view.to(quoted("releases", _name(view)), done="resumed")

    async def rollback(view: View) -> Response:
        _need_sure(view)
        await desk.releases.rollback(_name(view), desk.clock())
        return view.to(quoted("releases", _name(view)), done="rolled-back")

    async def withdraw(view: View) -> Response:
        _need_sure(view)
        reason = view.form.text("reason", 500, needed=True)
        await desk.releases.withdraw(_name(view), " ".join(reason.split()), desk.clock())
        return view.to(quoted("releases", _name(view)), done="withdrawn")

    see, act = frozenset({"view"}), frozenset({"release:rollout"})
    return [
        Page("GET", "/releases", listed, see),
        Page("GET", "/releases/{name}", one, see),
        Page("POST", "/releases/{name}/rollout", rollout, act),
        Page("POST", "/releases/{name}/staged", staged, act),
        Page("POST", "/releases/{name}/next", further, act),
        Page("POST", "/releases/{name}/pause", pause, act),
        Page("POST", "/releases/{name}/resume", resume, act),
        Page("POST", "/releases/{name}/rollback", rollback, act),
        Page("POST", "/releases/{name}/withdraw", withdraw, act),
    ]


def _name(view: View) -> str:
    name: str = view.request.path_params["name"]
    if len(name) > 80 or not name.isprintable():
        raise CoordinatorError("release.unknown", name=name.encode("unicode_escape").decode()[:80])
    return name


def _need_sure(view: View) -> None:
    if not view.form.on("sure"):
        raise CoordinatorError("web.unconfirmed")


async def _all(desk: Desk, state: str, text: str) -> list[Any]:
    """Releases with the number of their approvals, newest first."""
    signed = select(approvals.c.release, func.count().label("signed")).group_by(approvals.c.release).subquery()
    query = select(releases, signed.c.signed).outerjoin(signed, signed.c.release == releases.c.name)
    if state:
        query = query.where(releases.c.state == state)
    if text:
        query = query.where(releases.c.name.contains(text, autoescape=True))
    async with desk.database.read() as connection:
        return list((await connection.execute(query.order_by(releases.c.created.desc(), releases.c.name))).all())
