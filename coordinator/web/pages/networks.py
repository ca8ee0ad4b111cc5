"""Other networks whose releases may be taken over: when each was last verified, and what it revoked. Read only."""

from __future__ import annotations

from starlette.responses import Response

from coordinator.web.pages.desk import Desk
from coordinator.web.pages.table import Page
from coordinator.web.views import View

MOST = 50  # revocations of one network that are shown, those that concern this one first


def rows(desk: Desk) -> list[Page]:
    """The row."""

    async def listed(view: View) -> Response:
        networks = []
        for known in await desk.upstreams.list():
            network = await desk.upstreams.show(known["upstream"])
            taken = {one["release"]: one for one in network["taken"]}
            revoked = sorted(network["revoked"], key=lambda one: (one["release"] not in taken, one["release"]))
            networks.append(
                {
                    **network,
                    "revoked": [{**one, "taken": taken.get(one["release"])} for one in revoked[:MOST]],
                    "revoked_count": len(revoked),
                }
            )
        return view.render("networks.html", networks=networks)

    return [Page("GET", "/networks", listed, frozenset({"view"}))]
