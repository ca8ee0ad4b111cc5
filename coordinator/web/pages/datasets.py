"""Data sets: what they hold, how they were cleaned, and which page of the knowledge base each label means."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import func, select
from starlette.responses import Response

from coordinator.access import owners
from coordinator.errors import CoordinatorError
from coordinator.jobs import queue
from coordinator.reports import cleaning
from coordinator.reports.document import Document
from coordinator.store.tables import dataset_owners, datasets, labels, quarantine, samples
from coordinator.uploads import declaration
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.reports import shown
from coordinator.web.views import View, pages_of, quoted
from protocols import access

EACH = 50
_SUGGESTED = 3


def rows(desk: Desk) -> list[Page]:
    """The rows."""

    async def listed(view: View) -> Response:
        found, page, count = pages_of(await _all(desk), view.page(), EACH)
        return view.render("datasets.html", datasets=found, page=page, count=count)

    async def one(view: View) -> Response:
        name = view.request.path_params["name"]
        found = await _one(desk, name)
        entries = {e.id: e.name for e in await desk.knowledge.entries()} if view.may("label:map") else {}
        guesses = {
            row.label: [m.entry_id for m in await desk.knowledge.match_label(row.label, found.disease)][:_SUGGESTED]
            for row in found.labels
            if entries and row.entry is None
        }
        may_judge = view.may(access.DATASET_ANY) or (view.may(access.DATASET_UPLOAD) and found.owner == view.name)
        return view.render(
            "dataset.html",
            dataset=found,
            entries=entries,
            guesses=guesses,
            efforts=declaration.EFFORTS,
            may_judge=may_judge,
        )

    async def report(view: View) -> Response:
        name = view.request.path_params["name"]
        document = await desk.datasets.report(name)
        content: Document = await asyncio.to_thread(cleaning.report, document, lambda _: None)
        return view.render("cleaning.html", name=name, **shown(content, view.language))

    async def label(view: View) -> Response:
        name = view.request.path_params["name"]
        await _check_owner(desk, view, name)
        entry = view.form.text("entry", 80, needed=True)
        await desk.datasets.label(name, view.form.text("label", 120, needed=True), entry, desk.knowledge)
        return view.to(quoted("datasets", name), done="mapped")

    async def train(view: View) -> Response:
        name = view.request.path_params["name"]
        options = {"effort": declaration.effort(view.form.text("effort", 20, needed=True))}
        rights = view.principal.rights if view.principal else frozenset()
        wanted = queue.Request("train", name, view.name, rights, options)
        async with desk.database.begin() as connection:
            if not await owners.check(connection, name, view.name, rights):
                raise CoordinatorError("dataset.unknown", name=name)
            job = await queue.enqueue(connection, wanted, desk.clock(), desk.config.uploads.owner_jobs)
        return view.to(quoted("jobs", job), done="queued")

    view = frozenset({"view"})
    return [
        Page("GET", "/datasets", listed, view),
        Page("GET", "/datasets/{name}", one, view),
        Page("GET", "/datasets/{name}/report", report, view),
        Page("POST", "/datasets/{name}/label", label, frozenset({"label:map"})),
        Page("POST", "/datasets/{name}/train", train, frozenset({"train"})),
    ]


async def _check_owner(desk: Desk, view: View, name: str) -> None:
    """Who may map labels everywhere, or made this data set."""
    if view.may(access.JOB_ANY) or view.may(access.DATASET_ANY):
        return
    async with desk.database.read() as connection:
        rights = view.principal.rights if view.principal else frozenset()
        await owners.check(connection, name, view.name, rights)


async def _all(desk: Desk) -> list[dict[str, Any]]:
    """Every data set with its counts, by name."""
    per = select(
        samples.c.dataset, func.count().label("images"), func.count(samples.c.group.distinct()).label("groups")
    )
    counted = per.group_by(samples.c.dataset).subquery()
    waiting = select(quarantine.c.dataset, func.count().label("n")).group_by(quarantine.c.dataset).subquery()
    missing = labels.c.entry.is_(None) & (labels.c.kind != "normal")
    unmapped = select(labels.c.dataset, func.count().label("n")).where(missing).group_by(labels.c.dataset).subquery()
    query = (
        select(
            datasets.c.name,
            datasets.c.disease,
            datasets.c.created,
            dataset_owners.c.owner,
            counted.c.images,
            counted.c.groups,
            waiting.c.n.label("quarantined"),
            unmapped.c.n.label("unmapped"),
        )
        .select_from(datasets)
        .outerjoin(counted, counted.c.dataset == datasets.c.id)
        .outerjoin(waiting, waiting.c.dataset == datasets.c.id)
        .outerjoin(unmapped, unmapped.c.dataset == datasets.c.id)
        .outerjoin(dataset_owners, dataset_owners.c.dataset == datasets.c.id)
        .order_by(datasets.c.name)
    )
    async with desk.database.read() as connection:
        return [dict(row._mapping) for row in await connection.execute(query)]


async def _one(desk: Desk, name: str) -> Any:
    """A data set with its labels and imports."""
    found = next((row for row in await _all(desk) if row["name"] == name), None)
    if found is None:
        raise CoordinatorError("dataset.unknown", name=name.encode("unicode_escape").decode()[:63])
    async with desk.database.read() as connection:
        row = (await connection.execute(select(datasets).where(datasets.c.name == name))).one()
        images = (
            select(samples.c.label, func.count().label("number"))
            .where(samples.c.dataset == row.id)
            .group_by(samples.c.label)
        )
        counts = {r.label: r.number for r in await connection.execute(images)}
        mapped = (
            await connection.execute(select(labels).where(labels.c.dataset == row.id).order_by(labels.c.label))
        ).all()
    return _Dataset(**found, counts=counts, labels=list(mapped), imports=row.reports)


class _Dataset:
    """A data set as its page shows it."""

    def __init__(self, **values: Any) -> None:
        self.name: str = values["name"]
        self.disease: str = values["disease"]
        self.created: str = values["created"]
        self.owner: str | None = values["owner"]
        self.images: int = values["images"] or 0
        self.groups: int = values["groups"] or 0
        self.quarantined: int = values["quarantined"] or 0
        self.counts: dict[str, int] = values["counts"]
        self.labels: list[Any] = values["labels"]
        self.imports: list[dict[str, Any]] = values["imports"]
