"""The runner: processes that crash, hang, are cancelled, and a server that stops."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from coordinator.config import UploadLimits
from coordinator.errors import CoordinatorError
from coordinator.jobs import runner as module
from coordinator.jobs.queue import Queue, Request
from coordinator.jobs.run import private
from coordinator.jobs.runner import Runner
from coordinator.store.tables import jobs
from tests.support.coordinator import database

HANGS = "import time; time.sleep(60)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('["a", 1, 2]', flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    monkeypatch.setattr(module, "_TERM_S", 0.3)


def now() -> datetime:
    return datetime.now(UTC)


async def no_sweep(_: datetime) -> int:
    return 0


@asynccontextmanager
async def running(queue: Queue, code: str, *arguments: str) -> AsyncIterator[asyncio.Event]:
    """A runner whose jobs run ``code``; stopped at the end."""
    stop = asyncio.Event()
    runner = Runner(queue, no_sweep, UploadLimits(), now, lambda *_: [sys.executable, "-c", code, *arguments])
    task = asyncio.create_task(runner.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def until(what: Callable[[], Any]) -> Any:
    async with asyncio.timeout(10):
        while not (found := await what()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def add(queue: Queue) -> str:
    return str((await queue.add(Request("train", "malaria", "", frozenset(), {}), now()))["job"])


async def test_a_process_that_ends_without_a_result_is_tried_three_times(tmp_path: Path) -> None:
    counted = tmp_path / "runs"
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        job = await add(queue)
        code = "import os, sys; open(sys.argv[1], 'a').write('x'); os.kill(os.getpid(), 9)"
        async with running(queue, code, str(counted)):
            await until(lambda: _ended(queue, job))
        shown = await queue.show(job)
    assert (shown["state"], shown["error"]["code"], shown["error"]["exit_code"]) == ("failed", "job.crashed", 70)
    assert counted.read_text() == "xxx"


async def _ended(queue: Queue, job: str) -> bool:
    return (await queue.show(job))["state"] in ("done", "failed", "cancelled")


async def test_progress_is_seen_and_cancelling_ends_the_process_and_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n" + STUBBORN
    )
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        job = await add(queue)

        async def told() -> bool:
            return (await queue.show(job))["part"] == "a"

        async with running(queue, code, str(pids)):
            await until(told)
            await queue.cancel(job, None, now())
            await until(lambda: _ended(queue, job))
            assert (await queue.show(job))["state"] == "cancelled"
        for pid in pids.read_text().split():
            await until(lambda pid=pid: _gone(int(pid)))


async def test_curves_grow_and_a_process_that_goes_on_after_a_crash_adds_to_them(tmp_path: Path) -> None:
    code = """
import json, os, sys, time
again = os.path.exists(sys.argv[1])
open(sys.argv[1], "w").close()
for epoch in ((3, 4) if again else (1, 2, 3)):
    print(json.dumps({"run": "a", "name": "mixed4", "epoch": epoch, "loss": epoch / 2, "validation": None}), flush=True)
time.sleep(60 if again else 0.3)
os.kill(os.getpid(), 9)
"""
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        job = await add(queue)

        async def grown() -> bool:
            return [c["loss"] for c in await queue.curves(job)] == [[0.5, 1.0, 1.5, 2.0]]

        async with running(queue, code, str(tmp_path / "ran")):
            await until(grown)
        assert await queue.curves("nobody") == []


async def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)
    return stat.split(") ")[1].startswith("Z")  # left for init to collect


async def test_a_server_that_stops_puts_its_job_back(tmp_path: Path) -> None:
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        job = await add(queue)
        async with running(queue, HANGS):
            await until(lambda: _running(queue, job))
        shown = await queue.show(job)
        assert (shown["state"], shown["attempts"]) == ("queued", 0)


async def _running(queue: Queue, job: str) -> bool:
    return (await queue.show(job))["state"] == "running"


async def test_a_runner_that_lost_its_job_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 0.02)
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        job = await add(queue)
        async with running(queue, HANGS):
            await until(lambda: _running(queue, job))
            async with opened.begin() as connection:
                await connection.execute(update(jobs).values(runner="another"))
            await asyncio.sleep(0.3)
            async with opened.begin() as connection:
                await connection.execute(update(jobs).values(state="done"))
        assert (await queue.show(job))["state"] == "done"


async def test_nonsense_on_stdout_harms_nothing(tmp_path: Path) -> None:
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        job = await add(queue)
        async with running(queue, "print('[1]'); print('{'); print('x' * 10**6)"):
            await until(lambda: _ended(queue, job))
        assert (await queue.show(job))["error"]["code"] == "job.crashed"


async def test_a_database_that_fails_for_a_while_does_not_end_the_runner_nor_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with database(tmp_path) as opened:
        queue = Queue(opened)
        failures: list[Exception] = [OSError("gone"), RuntimeError("odd"), RuntimeError("odd"), RuntimeError("odd")]

        class Flaky(Queue):
            async def waiting(self, now: datetime) -> bool:
                if failures:
                    raise failures.pop()
                return await super().waiting(now)

        job = await add(queue)
        async with running(Flaky(opened), "pass"):
            await until(lambda: _ended(queue, job))
    assert caplog.messages == ["no job can be started: RuntimeError", "no job can be started: OSError"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/srv/h/coordinator/uploads/ab/upload.zip", "upload.zip"), (Path("/srv/h"), "h"), ("cells/1.png", "cells/1.png")],
)
def test_what_an_uploader_is_told_names_none_of_our_folders(path: object, shown: str) -> None:
    error = private(CoordinatorError("intake.not_a_dataset", path=path), Path("/srv/h"))
    assert error.message().startswith(shown)
