"""The pool of processes: short lists reach every core, and no worker outlives the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coordinator.engine.local import LocalEngine
from tests.support.dying import slow_pid

PARENT = """
import sys
from coordinator.engine.local import LocalEngine
from tests.support.dying import slow_pid
if __name__ == "__main__":
    for pid in LocalEngine(2).map(slow_pid, [0.0, 0.0, 60.0, 60.0]):
        print(pid, flush=True)
"""


def test_a_short_list_is_dealt_to_all_workers() -> None:
    found = set(LocalEngine(2).map(slow_pid, [0.4] * 4))
    assert len(found) == 2 and os.getpid() not in found


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_workers_end_with_the_process_that_started_them() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = {int(process.stdout.readline()) for _ in range(2)}
        process.kill()
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
