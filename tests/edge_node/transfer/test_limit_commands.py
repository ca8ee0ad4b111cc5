"""Limits and the quota through whole commands, against a coordinator on loopback."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from edge_node.bootstrap import Edge
from tests.edge_node.support.commands import command_line, edge, environment
from tests.edge_node.support.releases import RED, make_release, png
from tests.edge_node.support.server import CoordinatorServer

MEGABYTES = b"0123456789abcdef" * 125_000  # 2 MB


def human(home: Path, *arguments: str) -> tuple[str, str]:
    line = [part for part in command_line(home, *arguments) if part != "--json"]
    done = subprocess.run(
        line, capture_output=True, text=True, env=environment() | {"COLUMNS": "200"}, timeout=60, check=True
    )
    return done.stdout, done.stderr


def set_used(home: Path, size_bytes: int) -> None:
    """So many bytes were received before."""

    async def put() -> None:
        node = Edge(home)
        node.traffic.count("coordinator", size_bytes)
        await node.ledger.write()

    asyncio.run(put())


def test_budget_window_and_metered_link(joined: Path, coordinator: CoordinatorServer) -> None:
    coordinator.simulator.publish(make_release("skin", padding=MEGABYTES))
    (skin,) = [m for m in edge(joined, "models").json["models"] if m["disease"] == "skin"]
    assert (skin["seconds_at_cap"], skin["cached"]) == (None, False)
    for setting in (("monthly_mb", "3"), ("metered", "true"), ("wan_kbps", "64000"), ("window", "00:00-00:01")):
        assert edge(joined, "config", "set", *setting).code == 0
    (skin,) = [m for m in edge(joined, "models").json["models"] if m["disease"] == "skin"]
    assert skin["seconds_at_cap"] == round(skin["bytes_needed"] / 8e6, 1) > 0

    set_used(joined, 1_500_000)
    refused = edge(joined, "pull", "skin")
    assert (refused.code, refused.error["code"]) == (5, "edge.budget_used")
    assert "3 MB" in refused.error["message"] and "--over-budget" in refused.error["remedy"]
    assert edge(joined, "cache", "list").json["releases"] == []

    out, err = human(joined, "pull", "skin", "--over-budget")
    assert "MB to fetch, about" in err and "the link is set as metered" in err
    assert "skin@1 is verified" in out
    out, err = human(joined, "pull", "skin")
    assert "cached: nothing of it had to be fetched" in out and "metered" not in err

    coordinator.simulator.publish(make_release("skin", 2, padding=MEGABYTES[::-1]))
    synced = edge(joined, "sync")
    assert (synced.code, synced.error["code"]) == (5, "edge.budget_used")
    assert edge(joined, "sync", "--over-budget").json["switched"] == [{"disease": "skin", "release": "skin@2"}]

    used = edge(joined, "status").json["bandwidth"]
    assert used["wan_bytes"] == sum(used["by_kind"].values()) > 5_500_000
    assert (used["lan_bytes"], used["monthly_mb"], used["wan_kbps"]) == (0, 3, 64000.0)
    assert (used["metered"], used["window"]) == (True, "00:00-00:01")
    assert "/ 3.0 MB (cap 64000 kbit/s) in 20" in human(joined, "status")[0]


def test_the_list_says_what_a_download_costs(joined: Path) -> None:
    out, _ = human(joined, "models")
    assert "Time at 64 kbit/s" in out and "Dr Li, Dr Wang" in out
    edge(joined, "config", "set", "wan_kbps", "512")
    assert "Time at 512 kbit/s" in human(joined, "models")[0]


def test_pins_use_and_quota(joined: Path, coordinator: CoordinatorServer, tmp_path: Path) -> None:
    coordinator.simulator.publish(make_release("skin"))
    for disease in ("malaria", "skin"):
        edge(joined, "pull", disease)
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(RED, edge=80))
    assert edge(joined, "recognise", str(photo), "--disease", "malaria").code == 0
    assert edge(joined, "cache", "pin", "skin").json == {"disease": "skin", "model": "skin", "pinned": True}
    listed = {r["disease"]: r for r in edge(joined, "cache", "list").json["releases"]}
    assert (listed["malaria"]["pinned"], listed["skin"]["pinned"]) == (False, True)
    assert listed["malaria"]["last_used"] is not None and listed["skin"]["last_used"] is None
    assert edge(joined, "cache", "unpin", "skin").json["pinned"] is False
    assert edge(joined, "cache", "pin", "eyes").error["code"] == "edge.not_installed"

    assert edge(joined, "cache", "quota").json["quota_mb"] == 0
    assert edge(joined, "cache", "quota", "20").error["code"] == "edge.config_value"
    assert edge(joined, "cache", "quota", "50").json["evicted"] == []
    assert edge(joined, "config", "get", "cache_quota_mb").json == {"cache_quota_mb": 50}
    assert "The quota is 50 MB." in human(joined, "cache", "quota")[0]
