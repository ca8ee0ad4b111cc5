"""Federated runs: how each site does, round by round, and what the line carries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from coordinator.errors import CoordinatorError
from coordinator.federation.jobs import Options
from coordinator.store.tables import federations, nodes
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View, full_name, pages_of, quoted

EACH = 50


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        async with desk.database.read() as connection:
            found = (await connection.execute(select(federations).order_by(federations.c.number.desc()))).all()
        shown, page, count = pages_of(found, view.page(), EACH)
        models = await desk.models.list() if view.may("federation:run") else []
        return view.render("federation.html", runs=shown, page=page, count=count, models=models)

    async def one(view: View) -> Response:
        job = await _job(desk, view)
        names = await _names(desk)
        return view.render("federated_run.html", run=job, document=job.document, name_of=lambda s: names.get(s, s))

    async def curves(view: View) -> Response:
        job = await _job(desk, view)
        t = view.texts.t
        kind = view.query("of", "metric")
        units = {"unit_x": t("round"), "unit_y": t("balanced accuracy") if kind == "metric" else t("kB in all")}
        return JSONResponse({**series(job.document.get("history", []), kind, await _names(desk)), **units})

    async def start(view: View) -> Response:
        manifest = await desk.models.manifest(view.form.text("model", 80, needed=True))
        options = Options(
            rounds=view.form.number("rounds", 1, 200), least_sites=view.form.number("least_sites", 2, 1000)
        )
        job = await desk.federations.start(manifest.name, options, desk.clock())
        return view.to(quoted("federation", job.id), done="started")

    async def stop(view: View) -> Response:
        job = await desk.federations.stop((await _job(desk, view)).id)
        return view.to(quoted("federation", job.id), done="stopping")

    see, run = frozenset({"view"}), frozenset({"federation:run"})
    return [
        Page("GET", "/federation", listed, see),
        Page("POST", "/federation", start, run),
        Page("GET", "/federation/{run}", one, see),
        Page("GET", "/federation/{run}/curves", curves, see),
        Page("POST", "/federation/{run}/stop", stop, run),
    ]


def series(history: list[dict[str, Any]], kind: str, names: dict[str, str]) -> dict[str, Any]:
    """What each site stated (``metric``) or sent and got (``bytes``) by round. Pure."""
    rounds = [h for h in history if h.get("sites")]
    sites = sorted({site for h in rounds for site in h["sites"]})

    def value(entry: dict[str, Any], site: str) -> float | None:
        found: float | None = entry["sites"].get(site, {}).get("bytes" if kind == "bytes" else "metric")
        return found / 1000 if kind == "bytes" and found is not None else found

    return {
        "x": [h["round"] for h in rounds],
        "series": [{"name": names.get(s, s), "y": [value(h, s) for h in rounds]} for s in sites],
    }


async def _job(desk: Desk, view: View) -> Any:
    run = view.request.path_params["run"]
    if not (run.isascii() and run.isalnum() and len(run) <= 16):
        raise CoordinatorError("federation.unknown", name=run.encode("unicode_escape").decode()[:16])
    return await desk.federations.newest(run)


async def _names(desk: Desk) -> dict[str, str]:
    """Nodes by the names that their invites gave; a site may have several."""
    async with desk.database.read() as connection:
        found = await connection.execute(select(nodes.c.id, nodes.c.name, nodes.c.site))
        return {row.id: full_name(row.site, row.name) for row in found}
