"""Releases: gates, approvals, where they are, and the acts of a release manager."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from starlette.responses import Response

from coordinator.errors import CoordinatorError
from coordinator.releases.asking import Asked
from coordinator.releases.stage_texts import sentence
from coordinator.releases.stages import USUAL, StagedPlan, read_stages
from coordinator.store.tables import approvals, heartbeats, nodes, releases, results, staged_rollouts
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.sites import qr
from coordinator.web.pages.table import Page
from coordinator.web.views import View, full_name, pages_of, quoted
from protocols.heartbeat import Outcomes, read_releases

EACH = 50
MOST_SITES = 50  # of a release's, on its page
_TROUBLE = ("failed", "declined", "waiting", "running")
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
        release = await desk.releases.show(_name(view))
        asked = None
        if release["state"] == "proposed":
            digest = await desk.releases.digest(release["release"])
            asked = Asked(desk.url, desk.ca_sha256, release["release"], digest).encode()
        sites, heard = await _sites(desk, release["release"])
        release |= {"rollout": await _rollout(desk, release["release"]), "sites": sites, "heard": heard}
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


async def _rollout(desk: Desk, name: str) -> dict[str, Any] | None:
    """Where a staged rollout is, and what the server's watch decided last."""
    async with desk.database.read() as connection:
        row = (await connection.execute(select(staged_rollouts).where(staged_rollouts.c.release == name))).first()
    if row is None:
        return None
    stages = StagedPlan.from_document(row.plan).stages
    reasons = [{k: v for k, v in reason.items() if k != "code"} for reason in row.decision["reasons"]]
    codes = [reason["code"] for reason in row.decision["reasons"]]
    return {
        "stage": stages[min(row.stage, len(stages) - 1)].name,
        "number": min(row.stage + 1, len(stages)),
        "stages": len(stages),
        "since": row.since,
        "plan": row.plan,
        "decision": row.decision["act"],
        "overdue": row.decision["overdue"],
        "reasons": [
            {"text": {"en": sentence(code, figures, "en"), "zh": sentence(code, figures, "zh")}}
            for code, figures in zip(codes, reasons, strict=True)
        ],
    }


async def _sites(desk: Desk, name: str) -> tuple[list[dict[str, Any]], int]:
    """Nodes that have said something of a release, those with trouble first: some of them, and how many there are.

    Heartbeats were read strictly when they came, and are again where they are shown.
    """
    query = select(nodes.c.id, nodes.c.name, nodes.c.site, heartbeats.c.seen, heartbeats.c.document).join(heartbeats)
    async with desk.database.read() as connection:
        found = (await connection.execute(query.where(~nodes.c.revoked))).all()
    told = []
    for row in found:
        health = next((h for h in row.document["releases"] if h[1] == name), None)
        declined = any(d[1] == name for d in row.document["declined"])
        if health is not None or declined:
            told.append((_state(health, declined), full_name(row.site, row.name), row, health))
    told.sort(key=lambda one: (_TROUBLE.index(one[0]), one[1], one[2].id))
    return [_site(*one) for one in told[:MOST_SITES]], len(told)


def _state(health: list[Any] | None, declined: bool) -> str:
    """How a release stands at a node, by its heartbeat's own form (``protocols.heartbeat``)."""
    if health is not None and health[4] == "refused":
        return "failed"
    if health is not None and health[2]:
        return "running"
    return "declined" if declined else "waiting"


def _site(state: str, site: str, row: Any, document: list[Any] | None) -> dict[str, Any]:
    health = None if document is None else read_releases([document])[0]
    outcomes = Outcomes() if health is None else health.outcomes
    return {
        "node": row.id,
        "site": site,
        "state": state,
        "last_seen": row.seen,
        "recognised": outcomes.recognised,
        "not_answered": outcomes.total - outcomes.recognised,
        "failures": 0 if health is None else health.failures,
    }


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
