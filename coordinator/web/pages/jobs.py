"""The queue of imports, trainings and proposals, with live progress."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from starlette.responses import JSONResponse, Response

from coordinator.errors import CoordinatorError
from coordinator.jobs.curves import Curves, newest
from coordinator.web.following import Following
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View, pages_of, quoted
from protocols import access

EACH = 50
STATES = ("queued", "running", "done", "failed", "cancelled")


def rows(desk: Desk) -> list[Page]:
    """The rows."""
    following = Following()

    async def found(view: View) -> dict[str, Any]:
        state = view.query("state")
        jobs = [j for j in await desk.jobs.list() if not state or j["state"] == state]
        shown, page, count = pages_of(jobs, view.page(), EACH)
        return {"jobs": shown, "page": page, "count": count, "states": STATES}

    async def listed(view: View) -> Response:
        return view.render("jobs.html", **await found(view))

    async def list_events(view: View) -> Response:
        return following.answer(lambda: found(view), lambda values: view.text("jobs_rows.html", **values))

    async def one(view: View) -> Response:
        return view.render("job.html", job=await _one(desk, view))

    async def events(view: View) -> Response:
        await _one(desk, view)
        return following.answer(lambda: _one(desk, view), lambda job: view.text("job_state.html", job=job))

    async def curves(view: View) -> Response:
        job = await _one(desk, view)
        t = view.texts.t
        units = {"unit_x": t("epoch"), "unit_y": t("loss")}
        return JSONResponse({**drawn(await desk.jobs.curves(job["job"]), t), **units})

    async def cancel(view: View) -> Response:
        job = (await _one(desk, view))["job"]
        owner = None if view.may(access.JOB_ANY) else view.name
        await desk.jobs.cancel(job, owner, desk.clock())
        return view.to(quoted("jobs", job), done="cancelled")

    view = frozenset({"view"})
    workers = frozenset({access.DATASET_UPLOAD, access.MODEL_UPLOAD, access.TRAIN, access.JOB_ANY})
    return [
        Page("GET", "/jobs", listed, view),
        Page("GET", "/jobs/events", list_events, view),
        Page("GET", "/jobs/{job}", one, view),
        Page("GET", "/jobs/{job}/events", events, view),
        Page("GET", "/jobs/{job}/curves", curves, view),
        Page("POST", "/jobs/{job}/cancel", cancel, workers),
    ]


async def _one(desk: Desk, view: View) -> dict[str, Any]:
    job = view.request.path_params["job"]
    if not (job.isascii() and job.isalnum() and len(job) <= 32):
        raise CoordinatorError("job.unknown", job=job.encode("unicode_escape").decode()[:40])
    shown = await desk.jobs.show(job)
    return {**shown, "curves": newest(await desk.jobs.curves(job)) if shown["kind"] == "train" else []}


def drawn(curves: Curves, t: Callable[..., str]) -> dict[str, Any]:
    """What the page's script draws: a line a run for its loss, and a dashed one for its validation where there is one. Pure."""
    lines: list[tuple[str, list[float | None], dict[str, Any]]] = []
    for number, curve in enumerate(curves, 1):
        names = {"number": number, "name": curve["name"]}
        lines.append((t("{number}. {name}: training", **names), curve["loss"], {"colour": number - 1}))
        if any(v is not None for v in curve["validation"]):
            lines.append(
                (t("{number}. {name}: validation", **names), curve["validation"], {"colour": number - 1, "dash": 1})
            )
    rows = list(zip_longest(*(values for _, values, _ in lines)))
    return {
        "x": list(range(1, len(rows) + 1)),
        "series": [{"name": name, "y": [row[n] for row in rows], **look} for n, (name, _, look) in enumerate(lines)],
    }
