"""Three canaries of which one fails, and a node outside: real processes, stopped by the rules and taken back by a person."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coordinator.home import Home
from coordinator.releases.repository import Repository
from protocols.manifest import ReleaseManifest
from tests.coordinator.vetting import models
from tests.coordinator.vetting.support import bring, coordinator
from tests.support.commands import Running, run
from tests.support.coordinator import NOW
from tests.support.rollouts import invited, standing

pytestmark = pytest.mark.slow
CANARIES = ("north", "east", "south")
OUTSIDE, DECAYED = "west", "south"


async def prepare(home: Path) -> ReleaseManifest:
    """Two versions of a small model, signed; the first one for everybody. No training, so no TensorFlow."""
    async with coordinator(home) as opened:
        for gain in (4.0, 2.0):
            await bring(opened, models.colours(gain=gain))
        for version, notes in ((1, ""), (2, "Half the gain, for brighter lamps")):
            name = f"brought@{version}"
            await opened.releases.propose(name, notes, "drawn", False, NOW, accept_worse="nobody has labelled images")
            await opened.releases.approve(name, None, NOW)
            if version == 1:
                await opened.releases.rollout(name, 100, (), NOW)
        return await opened.models.manifest("brought@2")


def decay(node: Path, artifact: str) -> None:
    """A cheap card forgets: some bytes of a file are not what they were, its size and time are."""
    (path,) = node.rglob(artifact)
    status = path.stat()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@dataclass
class Clinics:
    """The network while it runs."""

    home: Path
    nodes: dict[str, Path]
    running: list[Running]

    def start(self, *names: str) -> None:
        """Switch these nodes on."""
        self.running.extend(Running("medmesh-edge", "serve", home=self.nodes[name]) for name in names)

    def states(self, release: str) -> dict[str, str]:
        """Name of a node → what it says of a release."""
        return asyncio.run(standing(self.home, release))

    def is_paused(self) -> bool:
        """By the signed list."""
        return any(m.paused for m in Repository(Home(self.home).repository).rollout().models)


def until(done: Callable[[], Any], timeout_s: float = 120) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := done()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.5)
    return found


@pytest.fixture
def clinics(tmp_path: Path) -> Iterator[Clinics]:
    home = tmp_path / "home"
    manifest = asyncio.run(prepare(home))
    server = Running("medmesh-coordinator", "serve", "--port", "0", "--node-port", "0", "--no-zeroconf", home=home)
    running = [server]
    try:
        server.wait_for(url=None, timeout_s=60)
        nodes = {name: tmp_path / name for name in (*CANARIES, OUTSIDE)}

        def join(name: str, invite: str) -> None:
            run("medmesh-edge", "join", invite, "--name", name, home=nodes[name])
            run("medmesh-edge", "pull", "malaria", home=nodes[name])

        invites = asyncio.run(invited(home, {n: ("canary",) if n in CANARIES else () for n in nodes}))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(join, nodes, invites))
        decay(nodes[DECAYED], manifest.golden.sha256)
        yield Clinics(home, nodes, running)
    finally:
        for process in reversed(running):
            process.stop()


def test_a_failing_canary_stops_the_rollout_and_rollback_brings_everybody_back(clinics: Clinics) -> None:
    clinics.start("north", "east", OUTSIDE)
    until(lambda: list(clinics.states("brought@1").values()).count("running") == 3)
    plan = ("--canary", "canary", "--plan", "canary:1h,50%:1h,100%", "--policy", "least_results=0")
    begun = run("medmesh-coordinator", "release", "rollout", "brought", *plan, home=clinics.home)
    assert (begun["state"], begun["stage"]) == ("released", "canary")
    two = {"north": "running", "east": "running", OUTSIDE: "waiting"}
    until(lambda: two.items() <= clinics.states("brought@2").items())
    assert not clinics.is_paused()

    clinics.start(DECAYED)
    until(clinics.is_paused)
    shown = run("medmesh-coordinator", "release", "show", "brought", home=clinics.home)
    (reason,) = shown["rollout"]["reasons"]
    assert (shown["state"], shown["rollout"]["decision"], reason["code"]) == ("paused", "pause", "failed")
    assert (reason["count"], reason["of"]) == (1, 3)
    told = {s["site"]: s["state"] for s in shown["sites"]}
    assert told.pop(OUTSIDE) in ("silent", "waiting")
    assert told == {"north": "running", "east": "running", DECAYED: "failed"}
    assert clinics.states("brought@1")[DECAYED] == "running", "what passed its self-test before goes on"
    acts = run("medmesh-coordinator", "audit", "list", "--act", "release.pause", home=clinics.home)
    assert [(row["act"], row["subject"]) for row in acts["acts"]] == [("release.pause.automatic", "brought@2")]

    assert run("medmesh-coordinator", "release", "rollback", "brought", home=clinics.home)["state"] == "rolled back"
    until(lambda: clinics.states("brought@1") == dict.fromkeys(clinics.nodes, "running"))
    assert not clinics.is_paused()
