"""A process that is killed between an act and its record leaves neither, or both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from coordinator.audit.checking import verify
from coordinator.audit.head import HeadFile
from coordinator.bootstrap import initialise, open_coordinator
from coordinator.config import Config
from tests.support.coordinator import NOW

_DYING = """
import asyncio, os, signal, sys
from datetime import timedelta
from pathlib import Path
from coordinator.access import tokens
from coordinator.bootstrap import open_coordinator, utc_now

async def main():
    real = tokens.record
    async def record(*arguments):
        if sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await real(*arguments)
        if sys.argv[2] == "after":
            os.kill(os.getpid(), signal.SIGKILL)
    tokens.record = record
    async with open_coordinator(Path(sys.argv[1])) as coordinator:
        if sys.argv[2] == "committed":
            coordinator.database.on_recorded = lambda head: os.kill(os.getpid(), signal.SIGKILL)
        await coordinator.tokens.create("x", ["train"], timedelta(days=1), utc_now())

asyncio.run(main())
"""


async def test_kill_between_act_and_record_leaves_neither_and_after_the_commit_both(tmp_path: Path) -> None:
    await initialise(tmp_path, Config("test", 1))
    for moment, made in (("before", 0), ("after", 0), ("committed", 1)):
        command = [sys.executable, "-c", _DYING, str(tmp_path), moment]
        assert subprocess.run(command, env=os.environ, timeout=60).returncode == -signal.SIGKILL  # noqa: ASYNC221
        async with open_coordinator(tmp_path) as coordinator:
            given = await verify(coordinator.trail, HeadFile(coordinator.home), coordinator.releases.repository, ())
            assert (given.findings, given.rows) == ([], 1 + made)
            assert len(await coordinator.tokens.list(NOW)) == made
