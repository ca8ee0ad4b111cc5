"""kill -9 while results are saved, confirmed and sent: nothing is lost that the screen said was saved."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_node.bootstrap import Edge
from edge_node.outbox.history import Listed
from tests.edge_node.support.commands import edge, environment
from tests.edge_node.support.releases import RED, png
from tests.edge_node.support.results import keep, result
from tests.edge_node.support.saving import TOGETHER
from tests.edge_node.support.server import CoordinatorServer

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def key_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDMESH_EDGE_HISTORY_KEY", "file")


def history(home: Path) -> Listed:
    async def listed() -> Listed:
        async with Edge(home).history() as opened:
            return await opened.search(None, None, 1_000_000)

    return asyncio.run(listed())


class Screen:
    """What a program said was saved or confirmed."""

    def __init__(self) -> None:
        self.saved: list[str] = []
        self.confirmed: set[str] = set()

    def read(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            word, *ids = line.split()
            if line.endswith("\n"):
                self.saved += ids if word == "saved" else []
                self.confirmed |= set(ids) if word == "confirmed" else set()

    def check(self, home: Path) -> None:
        """All of it is there, in whole groups, and nothing is damaged."""
        listed = history(home)
        assert listed.unreadable == 0
        kept = {item.id: item for item in listed.results}
        assert set(self.saved) <= set(kept) and len(kept) % TOGETHER == 0
        assert self.confirmed <= {item.id for item in listed.results if item.word is not None}
        counts = asyncio.run(Edge(home).outbox().counts())
        words = sum(item.word is not None for item in listed.results)
        assert counts.queued == len(kept) + words


def saving(home: Path, *arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.edge_node.support.saving", str(home), *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def test_killed_at_random_while_saving_and_confirming(home: Path) -> None:
    screen, chance = Screen(), random.Random(3)
    for turn in range(12):
        process = saving(home, str(turn * 1000))
        assert process.stdout is not None
        for _ in range(chance.randrange(12)):
            screen.read(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        screen.read(rest)
        if screen.saved:
            screen.check(home)
    assert len(screen.saved) > 30 and screen.confirmed


@pytest.mark.parametrize("what", ["key", "saved", "word"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_a_named_point_of_saving(home: Path, when: str, what: str) -> None:
    screen = Screen()
    process = saving(home, "0", f"{when} {what}")
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    screen.read(out)
    screen.saved += keep(home, *(result(number) for number in range(TOGETHER)))
    screen.check(home)
    was_saved = (when, what) == ("after", "saved") or what == "word"
    assert len(history(home).results) == TOGETHER * (2 if was_saved else 1)


@pytest.mark.parametrize("what", ["sent", "acknowledged", "expired"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_a_named_point_of_sending_every_record_arrives_once(
    joined: Path, coordinator: CoordinatorServer, when: str, what: str
) -> None:
    ids = keep(joined, *(result(number) for number in range(450)))
    arguments = [f"{when} {what}", "--", "sync", "--json", "--home", str(joined)]
    killer = [sys.executable, "-m", "tests.edge_node.support.killing", *arguments]
    killed = subprocess.run(killer, env=environment(), capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    acknowledged = asyncio.run(Edge(joined).outbox().counts()).acknowledged
    assert acknowledged <= len(coordinator.gateway.stored)
    assert edge(joined, "sync").json["outbox"]["queued"] == 0
    assert list(coordinator.gateway.stored) == ids
    assert len(history(joined).results) == 450


@pytest.mark.parametrize("what", ["saved", "word"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_commands_leave_all_or_nothing_and_had_not_said_saved(
    joined: Path, coordinator: CoordinatorServer, tmp_path: Path, when: str, what: str
) -> None:
    picture = tmp_path / "red.png"
    picture.write_bytes(png(RED, edge=100))
    edge(joined, "pull", "malaria")
    command = ["recognise", str(picture), str(picture), "--all"]
    if what == "word":
        ids = [r["id"] for r in edge(joined, *command).json["results"]]
        command = ["confirm", ids[0], "--label", "blue"]
    killer = [sys.executable, "-m", "tests.edge_node.support.killing", f"{when} {what}", "--", *command]
    killed = subprocess.run(
        [*killer, "--json", "--home", str(joined)], env=environment(), capture_output=True, check=False, timeout=60
    )
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b"")
    listed = edge(joined, "history").json["results"]
    assert len(listed) == (0 if (when, what) == ("before", "saved") else 2)
    assert sum(r["confirmed"] is not None for r in listed) == ((when, what) == ("after", "word"))
    assert edge(joined, "sync").json["outbox"]["queued"] == 0
    assert len(coordinator.gateway.stored) == len(listed) + ((when, what) == ("after", "word"))


def test_a_gateway_that_dies_with_the_receipt_gets_the_batch_again_and_keeps_one(
    joined: Path, coordinator: CoordinatorServer
) -> None:
    ids = keep(joined, *(result(number) for number in range(10)))
    coordinator.gateway.silent = True
    done = edge(joined, "sync")
    assert (done.code, done.error["code"]) == (6, "edge.gateway_unreachable")
    coordinator.gateway.silent = False
    assert edge(joined, "sync").json["outbox"]["sent"] == 10
    assert list(coordinator.gateway.stored) == ids
    assert set(coordinator.gateway.times_received.values()) == {2}
