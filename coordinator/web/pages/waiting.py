"""Images that may show burnt-in text or a face: what waits, and the word of a person who has looked.

The pictures themselves are never served: who may decide has the files, or looks on the coordinator's machine.
"""

from __future__ import annotations

from starlette.responses import Response

from coordinator.access import owners
from coordinator.errors import CoordinatorError
from coordinator.intake.quarantine import Quarantine
from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View, pages_of, quoted
from protocols.access import DATASET_ANY, DATASET_UPLOAD

EACH = 50


def rows(desk: Desk) -> list[Page]:
    """The rows."""
    waiting = Quarantine(desk.database, desk.home)

    async def listed(view: View) -> Response:
        name = await _own(desk, view)
        found, page, count = pages_of(await waiting.list(name), view.page(), EACH)
        return view.render("waiting.html", name=name, images=found, page=page, count=count)

    async def judge(view: View) -> Response:
        name = await _own(desk, view)
        chosen, act = view.form.all("image"), view.form.text("act", 10, needed=True)
        if not chosen:
            raise CoordinatorError("web.none_chosen")
        if not view.form.on("sure"):
            raise CoordinatorError("web.unconfirmed")
        if act not in ("accept", "reject"):
            raise CoordinatorError("web.form")
        for image in chosen:
            if act == "accept":
                await waiting.accept(image, desk.knowledge, name)
            else:
                await waiting.reject(image, name)
        return view.to(quoted("datasets", name, "waiting"), done="looked")

    deciders = frozenset({DATASET_UPLOAD, DATASET_ANY})
    return [
        Page("GET", "/datasets/{name}/waiting", listed, deciders),
        Page("POST", "/datasets/{name}/waiting", judge, deciders),
    ]


async def _own(desk: Desk, view: View) -> str:
    """The data set's name: its maker's, or whoever answers for all of them.

    Raises:
        CoordinatorError: ``dataset.unknown`` or ``dataset.not_yours``.
    """
    name: str = view.request.path_params["name"]
    rights = view.principal.rights if view.principal else frozenset()
    async with desk.database.read() as connection:
        if not await owners.check(connection, name, view.name, rights):
            raise CoordinatorError("dataset.unknown", name=name.encode("unicode_escape").decode()[:63])
    return name
