"""Six hospitals as processes: one is killed in a round, one hangs, the coordinator is killed; the survivors' result stands."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from smear import draw_set

from coordinator.bootstrap import open_coordinator
from coordinator.federation.checkpoint import Checkpoints
from edge_node.bootstrap import Edge
from edge_node.federation.folder import read_folder
from edge_node.federation.store import Consent, SiteStore
from edge_node.paths import Paths
from protocols.invite import Invite
from tests.end_to_end.conftest import Network
from tests.support.commands import Running, call, run

SITES, ROUNDS = 6, 12


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def invites(home: Path, count: int) -> list[str]:
    """As ``node invite`` makes them, without a process for each."""

    async def make() -> list[str]:
        async with open_coordinator(home) as coordinator:
            made = [
                await coordinator.enrolment.invite(f"hospital {n}", (), None, datetime.now(UTC)) for n in range(count)
            ]
        return [str(document["invite"]) for document in made]

    return asyncio.run(make())


def join_with_images(home: Path, invite: str, folder: Path) -> str:
    """As ``join``, ``data add`` and ``federation consent`` do, without a process for each; returns the node's id."""

    async def note() -> str:
        identity = await Edge(home).join(Invite.decode(invite), home.name)
        async with SiteStore.open(Paths.of_home(home).federation) as store:
            await store.add("malaria", read_folder(folder, None, lambda done, total: None))
            await store.consent(Consent("malaria", datetime.now(UTC), "", 0))
        return identity.node

    return asyncio.run(note())


def wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_run_ends_with_the_survivors_result(network: Network, tmp_path: Path) -> None:
    home, ports = tmp_path / "coordinator", ("--port", str(free_port()), "--node-port", str(free_port()))
    shutil.copytree(network.home, home, ignore=shutil.ignore_patterns("serving.json"))

    def serve() -> Running:
        server = Running("medmesh-coordinator", "serve", "--no-zeroconf", *ports, home=home)
        server.wait_for(url=None, timeout_s=60)
        return server

    server, nodes = serve(), []
    try:
        made, ids = invites(home, SITES), list[str]()
        for number in range(SITES):
            node, images = tmp_path / f"node{number}", tmp_path / f"images{number}"
            draw_set(images, seed=40 + number, patients=6, cells_each=4)
            ids.append(join_with_images(node, made[number], images))
            if number:  # one download is enough to see here
                shutil.copytree(Paths.of_home(tmp_path / "node0").cache, Paths.of_home(node).cache)
            else:
                run("medmesh-edge", "pull", "malaria", home=node)
        nodes = [Running("medmesh-edge", "serve", home=tmp_path / f"node{n}") for n in range(SITES)]
        for node in nodes:
            node.wait_for(event="connected", timeout_s=60)
        options = ("--rounds", str(ROUNDS), "--deadline-s", "6", "--gather-s", "15", "--wait-s", "120")
        job = run("medmesh-coordinator", "federate", "start", "malaria@1", *options, home=home)["job"]
        again = call("medmesh-coordinator", "federate", "start", "malaria@1", home=home)
        assert (again.code, again.error["code"]) == (5, "federation.running")
        checkpoints = Checkpoints(home / "coordinator" / "federation" / job / "rounds.npz")

        def reached() -> int:
            state = checkpoints.load()
            return 0 if state is None else state.round

        def are_silent(*sites: str) -> bool:
            state = checkpoints.load()
            return state is not None and all(state.sites[site].dropped for site in sites)

        wait_for(lambda: reached() >= 2, 120)
        for node in nodes[:2]:
            node.send(signal.SIGSTOP)
        wait_for(lambda: are_silent(*ids[:2]), 120)
        time.sleep(1)  # the next round has begun, and waits for both
        nodes[0].stop(signal.SIGKILL)
        gone = reached()
        wait_for(lambda: reached() > gone, 60)
        server.stop(signal.SIGKILL)
        kept = reached()
        server = serve()
        status: dict[str, Any] = {}

        def is_over() -> bool:
            time.sleep(3)
            status.update(run("medmesh-coordinator", "federate", "status", home=home))
            return status["state"] in ("done", "failed", "stopped")

        wait_for(is_over, 240)
        assert (status["state"], status["round"], status["rounds"]) == ("done", ROUNDS, ROUNDS), status
        assert kept < ROUNDS
        by_name = {site["name"]: site for site in status["sites"]}
        assert set(by_name) == {f"hospital {n}" for n in range(SITES)}
        for name in ("hospital 0", "hospital 1"):
            assert {d["code"] for d in by_name[name]["dropped"]} == {"federation.reply_silent"}, status["history"]
        used = status["history"][-1]["used"]
        assert {by_name[f"hospital {n}"]["site"] for n in range(2, SITES)} <= set(used)
        assert by_name["hospital 0"]["site"] not in used
        assert by_name["hospital 1"]["site"] not in used
        assert status["global"]["sites"] == SITES - 2
        assert status["model"].startswith("malaria@")
        shown = run("medmesh-coordinator", "model", "show", status["model"], home=home)
        assert shown["federated"]["sites"] == SITES
        assert shown["parity"]["ok"]
    finally:
        server.stop()
        for node in nodes:
            node.stop(signal.SIGKILL)
