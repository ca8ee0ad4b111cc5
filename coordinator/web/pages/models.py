"""Model versions: card, curves, and two versions side by side."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from coordinator.jobs.queue import Request
from coordinator.releases.cards.content import card, scored_of
from coordinator.releases.cards.facts import CardFacts, gather
from coordinator.reports.document import Document
from coordinator.store.tables import models, releases
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.reports import shown
from coordinator.web.texts import mark
from coordinator.web.views import View, pages_of, quoted
from protocols.manifest import ReleaseManifest

EACH = 50
_CARDS = 32  # kept in memory: counting their intervals takes seconds
_POINTS = 101


def rows(desk: Desk) -> list[Page]:
    """The rows."""
    cards: OrderedDict[tuple[str, ...], Document] = OrderedDict()

    async def card_of(name: str) -> tuple[CardFacts, Document]:
        facts = await gather(name, desk.models, desk.releases, desk.home, desk.config.name)
        release = facts.release or {}
        key: tuple[str, ...] = (
            facts.manifest.name,
            facts.training["manifest"],
            str(release.get("state")),
            str(release.get("reason")),
        )
        key += tuple(f"{v.number} {v.state}" for v in facts.versions)
        if key not in cards:
            cards[key] = await asyncio.to_thread(card, facts)
            while len(cards) > _CARDS:
                cards.popitem(last=False)
        return facts, cards[key]

    async def listed(view: View) -> Response:
        found, page, count = pages_of(await _all(desk), view.page(), EACH)
        return view.render("models.html", models=found, page=page, count=count)

    async def one(view: View) -> Response:
        name = view.request.path_params["name"]
        manifest = await desk.models.manifest(name)
        others = [r for r in await _all(desk) if r["model"] == manifest.model and r["version"] != manifest.version]
        async with desk.database.read() as connection:
            state = await connection.scalar(select(releases.c.state).where(releases.c.name == manifest.name))
        row = await desk.models.row(manifest.name)
        return view.render(
            "model.html",
            manifest=manifest,
            others=others,
            state=state,
            training=row.training,
            figures=figures(manifest),
            learnt=await desk.jobs.curves(str(row.training.get("job") or "")),
        )

    async def card_page(view: View) -> Response:
        facts, document = await card_of(view.request.path_params["name"])
        return view.render("card.html", name=facts.manifest.name, **shown(document, view.language))

    async def curves(view: View) -> Response:
        facts = await gather(view.request.path_params["name"], desk.models, desk.releases, desk.home, desk.config.name)
        t = view.texts.t
        found = await asyncio.to_thread(roc_curves, facts)
        units = {"unit_x": t("false alarms"), "unit_y": t("sensitivity")}
        return JSONResponse({**found, **units})

    async def compare(view: View) -> Response:
        names = [view.query("a", most=80), view.query("b", most=80)]
        pair = [await desk.models.manifest(n) for n in names]
        training = [(await desk.models.row(m.name)).training for m in pair]
        sides = [figures(m, t) for m, t in zip(pair, training, strict=True)]
        curved = {m.name for m, t in zip(pair, training, strict=True) if t.get("out_of_fold")}
        lines = [(title, sides[0].get(title, "—"), sides[1].get(title, "—")) for title in {**sides[0], **sides[1]}]
        return view.render("compare.html", names=[m.name for m in pair], lines=lines, with_curves=curved)

    async def propose(view: View) -> Response:
        manifest = await desk.models.manifest(view.request.path_params["name"])
        options = {
            "model": manifest.name,
            "notes": view.form.text("notes", 4000),
            "allow_unmapped": view.form.text("allow_unmapped", 500) or None,
            "accept_worse": view.form.text("accept_worse", 500) or None,
            "floor": view.form.on("floor"),
        }
        rights = view.principal.rights if view.principal else frozenset()
        wanted = Request("propose", f"release {manifest.name}", view.name, rights, options)
        job = await desk.jobs.add(wanted, desk.clock())
        return view.to(quoted("jobs", job["job"]), done="queued")

    view = frozenset({"view"})
    return [
        Page("GET", "/models", listed, view),
        Page("GET", "/models/compare", compare, view),
        Page("GET", "/models/{name}", one, view),
        Page("GET", "/models/{name}/card", card_page, view),
        Page("GET", "/models/{name}/curves", curves, view),
        Page("POST", "/models/{name}/propose", propose, frozenset({"release:propose"})),
    ]


async def _all(desk: Desk) -> list[dict[str, Any]]:
    """Every version with its release's state, newest first within a model."""
    async with desk.database.read() as connection:
        states = {r.name: r.state for r in await connection.execute(select(releases.c.name, releases.c.state))}
        found = await connection.execute(select(models).order_by(models.c.name, models.c.version.desc()))
        return [
            {
                "name": f"{r.name}@{r.version}",
                "model": r.name,
                "version": r.version,
                "disease": r.disease,
                "dataset": r.dataset,
                "created": r.created,
                "accuracy": (r.training.get("metrics") or {}).get("balanced_accuracy"),
                "state": states.get(f"{r.name}@{r.version}"),
            }
            for r in found
        ]


def figures(manifest: ReleaseManifest, training: dict[str, Any] | None = None) -> dict[str, str]:
    """What two versions are compared by, under names that the template translates. Pure."""
    found = manifest.metrics
    accuracy = found.get("balanced_accuracy")
    lines = {
        mark("Disease"): manifest.disease,
        mark("Made (UTC)"): manifest.created[:16].replace("T", " "),
        mark("Data set"): str(manifest.data.get("dataset", "—")),
        mark("Images"): str(manifest.data.get("images", "—")),
        mark("Groups (patients, lesions or slides)"): str(manifest.data.get("groups", "—")),
        mark("Balanced accuracy (95 % interval)"): _interval(accuracy),
        mark("Macro AUC"): _number(found.get("auc_macro")),
        mark("Calibration error"): _number(found.get("ece")),
        mark("Bytes of the head"): str(sum(a.size_bytes for a in manifest.artifacts if a.role == "head")),
        mark("Bytes of the trunk"): str(sum(a.size_bytes for a in manifest.artifacts if a.role == "trunk")),
        mark("Backbone"): manifest.backbone.id if manifest.backbone else "—",
        mark("Labels"): ", ".join(x.label for x in manifest.labels),
    }
    for label, row in found.get("per_class", {}).items():
        for key, value in row.items():
            if isinstance(value, dict) and "value" in value:
                lines[f"{label}: {key}"] = _interval(value)
    if training and training.get("effort"):
        lines[mark("Effort")] = str(training["effort"])
    return lines


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else _interval(value)


def _interval(found: Any) -> str:
    if not isinstance(found, dict) or found.get("value") is None:
        return "—"
    if found.get("low") is None or found.get("high") is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} – {found['high']:.3f})"


def roc_curves(facts: CardFacts) -> dict[str, Any]:
    """ROC curves of each label against the rest, at the same false alarms; empty where no answers are kept."""
    import numpy as np

    scored = scored_of(facts)
    grid = np.linspace(0, 1, _POINTS)
    series = []
    if scored is not None:
        for label, name in enumerate(scored.names):
            if (curve := scored.roc(label)) is not None:
                values = np.interp(grid, curve.false_alarms, curve.sensitivity)
                series.append({"name": name, "y": [round(float(v), 4) for v in values]})
    return {"x": [round(float(v), 4) for v in grid] if series else [], "series": series}
