"""Nothing that a command started goes on computing once the command was killed, wherever the kill met it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

POOL = """
from coordinator.engine.local import LocalEngine
from tests.support.dying import hold
if __name__ == "__main__":
    list(LocalEngine(1).map(hold, [{mark!r}]))
"""
GUARDED = """
from coordinator.engine.guarded import GuardedWorkers
from tests.support.dying import hold, lost
if __name__ == "__main__":
    list(GuardedWorkers(1, 1 << 30, 120).map(hold, [{mark!r}], lost))
"""
CHILD = """
import subprocess, sys
from coordinator.engine.ending import lifeline
with lifeline() as stdin:
    subprocess.run([sys.executable, "-m", "tests.support.dying", {mark!r}], stdin=stdin)
"""
CONVERSION = """
from pathlib import Path
from coordinator.training import convert
Path({mark!r}).touch()
convert.run("trunk", "random-1", {mark!r}, {mark!r})
"""


@pytest.mark.parametrize("script", [POOL, GUARDED, CHILD, CONVERSION], ids=["pool", "guarded", "child", "conversion"])
def test_what_was_started_ends_with_who_was_killed(script: str, tmp_path: Path) -> None:
    """Three that are deep in a library which never lets Python run again, and one that is about to load TensorFlow."""
    mark = tmp_path / "busy"
    with subprocess.Popen([sys.executable, "-c", script.format(mark=str(mark))], cwd=ROOT) as process:
        wait_for(mark.exists)
        wait_for(lambda: bool(children(process.pid)))
        started = children(process.pid)
        process.kill()
    try:
        wait_for(lambda: not any(lives(*each) for each in started))
    finally:
        for pid, _ in (each for each in started if lives(*each)):
            os.kill(pid, signal.SIGKILL)


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid: int) -> list[tuple[int, str]]:
    """Number and time of birth of each."""
    found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    return [(child, seen[19]) for child in found if (seen := stat(child)) and int(seen[1]) == pid]


def lives(pid: int, born: str) -> bool:
    seen = stat(pid)
    return bool(seen) and seen[0] != "Z" and seen[19] == born


def stat(pid: int) -> list[str]:
    """From the state on; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
