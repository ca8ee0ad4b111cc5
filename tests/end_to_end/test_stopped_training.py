"""A training that is stopped or killed goes on where it was and ends with what an undisturbed one gives."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.end_to_end.conftest import Network, models_in
from tests.support.commands import BIN, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PARTS = ("features", "views", "selection", "spatial", "head")
KILLS = PARTS * 2
LINES = {"features": 90, "views": 90, "selection": 8, "spatial": 6, "head": 0}  # about as many as a part tells


def copy_of(network: Network, target: Path) -> Path:
    """A home of its own, without the cached features and what others' killed trainings left in the network's."""
    ignored = shutil.ignore_patterns("features", "trainings", "serving.json", "*-shm")
    shutil.copytree(network.home, target, ignore=ignored)
    return target


def start(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.killed_ladder", str(home)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finished(home: Path) -> dict[str, Any]:
    with start(home) as process:
        assert process.stdout is not None
        last = process.stdout.read().splitlines()[-1]
        assert process.wait() == 0
    return dict(json.loads(last))


def killed(home: Path, part: str, chance: random.Random) -> str:
    """Kill a training somewhere in a part, or in a later one where that is done; returns which."""
    with start(home) as process:
        assert process.stdout is not None
        more, at = chance.randint(0, LINES[part]), ""
        for line in process.stdout:
            assert line.startswith("["), "it ended before it was killed"
            at = str(json.loads(line)[0])
            if at == part and more:
                more -= 1
            elif at in PARTS[PARTS.index(part) :]:
                break
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
    return at


def test_ten_kills_at_any_moment_leave_the_result_of_none(network: Network, tmp_path: Path) -> None:
    expected = finished(copy_of(network, tmp_path / "undisturbed"))
    home, chance = copy_of(network, tmp_path / "killed"), random.Random(7)
    models, reached = models_in(home), []
    for part in sorted(KILLS, key=PARTS.index):
        reached.append(killed(home, part, chance))
        assert models_in(home) == models, "a killed training records nothing"
    assert set(PARTS) == set(reached), "it never got far enough for the kills to matter"
    got = finished(home)
    for key in ("artifacts", "rungs", "frontier", "metrics", "chosen_in_folds"):
        assert got[key] == expected[key], key
    assert got["features_computed"] < expected["features_computed"], "started over"
    assert not list((home / "coordinator" / "trainings").rglob("*")), "parts of a finished training are removed"


def test_ctrl_c_stops_training_and_says_how_to_go_on(network: Network, tmp_path: Path) -> None:
    home = copy_of(network, tmp_path / "home")
    command = [str(BIN / "medmesh-coordinator"), "train", "malaria", "--backbone", "random-1", "--effort", "quick"]
    with subprocess.Popen(
        [*command, "--home", str(home), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        while "Computing features" not in (line := process.stderr.readline()):
            assert line, "it ended before it began"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stderr.read()
        assert process.wait() == 6 and not process.stdout.read()
    error = json.loads(rest.splitlines()[-1])["error"]
    assert error["code"] == "interrupted" and "same command again" in error["remedy"]
    assert "Traceback" not in rest
