"""``fleet`` and ``node list`` as a person runs them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.bootstrap import initialise, open_coordinator, utc_now
from coordinator.config import Config
from coordinator.fleet.rows import Arrival, FleetRows
from tests.support.commands import call, run
from tests.support.coordinator import enrol
from tests.support.heartbeats import HEART

A, B = "a" * 16, "b" * 16


@pytest.fixture
def home(tmp_path: Path) -> Path:
    async def make() -> None:
        await initialise(tmp_path, Config(name="Test", approvals=1))
        async with open_coordinator(tmp_path) as opened:
            for node, site in ((A, "North"), (B, "South")):
                await enrol(opened.database, node, site=site)
            beat = replace(HEART, sent=utc_now() - timedelta(days=1), storage_free_bytes=100_000_000)
            await FleetRows(opened.database).keep([(A, Arrival(A, beat, "parcel"))], utc_now())

    asyncio.run(make())
    return tmp_path


def test_the_fleet_is_listed_shown_and_watched(home: Path) -> None:
    told, silent = run("medmesh-coordinator", "fleet", "list", home=home)["nodes"]
    assert (told["node"], told["staleness"], told["via"]) == (A, "fresh", "parcel")
    assert (silent["heartbeat"], silent["staleness"]) == (None, "never")
    beat = told["heartbeat"]
    assert beat["storage"]["low"] is True and beat["failures"] == 1
    assert beat["releases"][0]["accuracy"] == {"value": 0.9, "low": 0.7695, "high": 0.9604}
    assert beat["declined"][0]["detail"]["n"] == 200

    shown = run("medmesh-coordinator", "fleet", "show", A, home=home)
    assert shown["heartbeat"] == beat and len(shown["history"]) == 1
    unknown = call("medmesh-coordinator", "fleet", "show", "nobody", home=home)
    assert (unknown.code, unknown.error["code"]) == (4, "node.unknown")
    assert run("medmesh-coordinator", "fleet", "alarms", home=home) == {"alarms": []}

    rows = run("medmesh-coordinator", "node", "list", home=home)["nodes"]
    assert [(row["node"], row["version"], row["staleness"]) for row in rows] == [
        (A, "0.1.0", "fresh"),
        (B, None, "never"),
    ]
    assert rows[0]["by_hand"]["queued"] == 2 and rows[0]["by_hand"]["releases"] == ["malaria@1"]
    assert rows[1]["by_hand"] is None
