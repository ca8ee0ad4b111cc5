"""Thirty days without a coordinator and 10,000 results, then sync with both sides killed on the way: all once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from edge_node.bootstrap import Edge
from tests.edge_node.support.results import result
from tests.support.commands import BIN, Running, environment, run

pytestmark = pytest.mark.slow

DAYS, RESULTS, WORDS = 30, 10_000, 600


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Coordinator:
    """A real one, that comes back at the same addresses."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._ports = ["--port", str(free_port()), "--node-port", str(free_port())]
        run("medmesh-coordinator", "init", "--approvals", "1", home=home)
        self.start()

    def start(self) -> None:
        self._running = Running("medmesh-coordinator", "serve", *self._ports, "--no-zeroconf", home=self.home)
        self._running.wait_for(url=None)

    def kill(self) -> None:
        self._running.stop(signal.SIGKILL)

    def stop(self) -> None:
        self._running.stop()

    def rows(self, query: str) -> list[tuple[str, ...]]:
        path = self.home / "coordinator" / "coordinator.sqlite"
        with closing(sqlite3.connect(path)) as database:
            return database.execute(query).fetchall()

    def count(self) -> int:
        """Results and words committed so far."""
        return int(self.rows("SELECT (SELECT count(*) FROM results) + (SELECT count(*) FROM confirmations)")[0][0])


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    started = Coordinator(tmp_path / "coordinator")
    yield started
    started.stop()


async def a_month(home: Path) -> tuple[list[str], dict[str, str]]:
    """What a clinic records in thirty days: ids in their order, and the clinician's last words."""
    chance, ids, words = random.Random(30), list[str](), dict[str, str]()
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    for day in range(DAYS):
        share = RESULTS * (day + 1) // DAYS - len(ids)
        with time_machine.travel(start + timedelta(days=day), tick=False):
            async with Edge(home).history(create=True) as history:
                kept = await history.save([result(len(ids) + k) for k in range(share)])
                ids += [k["id"] for k in kept]
                for _ in range(WORDS // DAYS):
                    words[chosen := chance.choice(ids)] = label = chance.choice(["parasitized", "uninfected", "other"])
                    await history.confirm(chosen, label)
    return ids, words


def sync(home: Path) -> subprocess.Popen[bytes]:
    words = [str(BIN / "medmesh-edge"), "sync", "--home", str(home), "--json"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())


def wait_for(coordinator: Coordinator, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until the coordinator has committed so much, or the node has ended."""
    limit = time.monotonic() + 60
    while coordinator.count() < count and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_month_offline_and_kills_on_both_sides_lose_nothing_and_double_nothing(
    coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDMESH_EDGE_HISTORY_KEY", "file")
    node, chance = tmp_path / "clinic", random.Random(4)
    invite = run("medmesh-coordinator", "node", "invite", "--site", "Clinic North", home=coordinator.home)["invite"]
    run("medmesh-edge", "join", invite, home=node)
    ids, words = asyncio.run(a_month(node))
    assert run("medmesh-edge", "status", home=node)["outbox"]["queued"] == RESULTS + WORDS

    cut = 0
    for turn in range(8):
        before = coordinator.count()
        process = sync(node)
        wait_for(coordinator, before + chance.randrange(200, 1400), process)
        cut += process.poll() is None
        if turn % 3 == 2:
            coordinator.kill()
        if turn % 3 != 1:
            os.kill(process.pid, signal.SIGKILL)
        else:
            coordinator.kill()
        process.wait(60)
        if turn % 3:
            coordinator.start()
        outbox = run("medmesh-edge", "status", home=node)["outbox"]
        assert outbox["acknowledged"] <= coordinator.count(), "what is noted as sent is there"
        assert outbox["acknowledged"] + outbox["queued"] == RESULTS + WORDS
    assert cut >= 6, "most kills came in the middle"

    done = run("medmesh-edge", "sync", home=node)["outbox"]
    assert (done["queued"], done["refused"], done["error"]) == (0, 0, None)
    assert [row[0] for row in coordinator.rows("SELECT id FROM results ORDER BY number")] == ids
    assert len(coordinator.rows("SELECT DISTINCT id FROM confirmations")) == WORDS == coordinator.count() - RESULTS
    table = tmp_path / "results.csv"
    run("medmesh-coordinator", "results", "export", "--format", "csv", str(table), home=coordinator.home)
    said = [line.split(",") for line in table.read_text("utf-8-sig").splitlines()[1:]]
    assert {row[3]: row[-2] for row in said if row[-2]} == words
    assert len({row[4][:10] for row in said}) == DAYS
    listed = run("medmesh-coordinator", "results", "list", home=coordinator.home)
    assert (listed["results"], listed["confirmed"], len(listed["latest"])) == (RESULTS, len(words), 20)
    assert run("medmesh-edge", "sync", home=node)["outbox"]["sent"] == 0


def test_a_revoked_node_is_turned_away_and_keeps_its_queue(
    coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDMESH_EDGE_HISTORY_KEY", "file")
    node = tmp_path / "clinic"
    invite = run("medmesh-coordinator", "node", "invite", home=coordinator.home)["invite"]
    joined = run("medmesh-edge", "join", invite, home=node)

    async def keep() -> None:
        async with Edge(node).history(create=True) as history:
            await history.save([result(1)])

    asyncio.run(keep())
    run("medmesh-coordinator", "node", "revoke", joined["node"], home=coordinator.home)
    assert subprocess.run(
        [str(BIN / "medmesh-edge"), "sync", "--home", str(node), "--json"], capture_output=True, env=environment(), check=False
    ).returncode == 5  # fmt: skip
    assert run("medmesh-edge", "status", home=node)["outbox"]["queued"] == 1
    assert run("medmesh-coordinator", "results", "list", home=coordinator.home)["results"] == 0
