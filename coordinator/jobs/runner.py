"""Runs queued jobs inside ``serve``, each in a process of its own; the server itself never imports TensorFlow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from coordinator.config import UploadLimits
from coordinator.jobs.curves import Curves, with_point
from coordinator.jobs.queue import LEASE, Job, Queue
from protocols.errors import MedMeshError

_log = logging.getLogger("medmesh.jobs")
_TICK_S = 1.0
_LOOK_S = 0.5  # so often is looked for what a process told; pages hear of it within a second
_RENEW_S = LEASE.total_seconds() / 6
_TERM_S = 5.0
_SWEEP_S = 3600.0
_LONGEST_PAUSE_S = 30.0
_LINE_BYTES = 64 * 1024


def command(home: Path, job: str, runner: str) -> list[str]:
    """The process that does one job."""
    return [sys.executable, "-m", "coordinator.jobs.run", str(home), job, runner]


class Runner:
    """Claims jobs and watches over their processes."""

    def __init__(
        self,
        queue: Queue,
        sweep: Callable[[datetime], Awaitable[int]],
        limits: UploadLimits,
        clock: Callable[[], datetime],
        start: Callable[[str, str], Sequence[str]],
    ) -> None:
        """Args: the queue; what clears away uploads; limits; clock; the command line for a job and runner id."""
        self._queue = queue
        self._sweep = sweep
        self._limits = limits
        self._clock = clock
        self._start = start
        self.id = secrets.token_hex(8)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run jobs until ``stop``; those that run then are put back and run again by whoever starts next."""
        swept, pause_s, failing = -_SWEEP_S, _TICK_S, ""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            try:
                if loop.time() - swept >= _SWEEP_S:
                    await self._sweep(self._clock())
                    await self._queue.forget(self._clock())
                    swept = loop.time()
                await self._claim(stop)
                pause_s, failing = _TICK_S, ""
            except Exception as error:  # a busy database or a full disk may pass; jobs must not end with the first
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                if failing != (failing := getattr(error, "code", type(error).__name__)):
                    _log.warning("no job can be started: %s", failing)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _claim(self, stop: asyncio.Event) -> None:
        while len(self._tasks) < self._limits.jobs_at_once and await self._queue.waiting(self._clock()):
            job = await self._queue.claim(self.id, self._limits.jobs_at_once, self._limits.attempts, self._clock())
            if job is None:
                return
            task = asyncio.create_task(self._do(job, stop))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, job: Job, stop: asyncio.Event) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._start(job.id, self.id),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if os.environ.get("MEDMESH_DEBUG") else asyncio.subprocess.DEVNULL,
                start_new_session=True,
                limit=_LINE_BYTES,
            )
            try:
                why = await self._watch(job, process, stop)
            finally:
                await _end(process)
            if why == "cancel":
                await self._queue.stopped(job.id, self.id, self._clock())
            elif why != "lost":
                await self._queue.give_back(job.id, self.id, counted=why == "ended")
            await self._sweep(self._clock())
        except (MedMeshError, OSError) as error:  # the lease runs out, and the job is taken again
            _log.warning("job %s: %s", job.id, getattr(error, "code", type(error).__name__))

    async def _watch(self, job: Job, process: Process, stop: asyncio.Event) -> str:
        """Follow a process; returns ``ended``, ``cancel``, ``lost`` or ``stop``."""
        told = _Told(job.curves)
        reading = asyncio.create_task(told.read(process))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        loop = asyncio.get_running_loop()
        renewed, kept = loop.time(), told.all
        try:
            while True:
                await asyncio.wait({ended, stopping}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return "ended"
                if stopping.done():
                    return "stop"
                state = "go on"
                if told.all != kept or loop.time() - renewed >= _RENEW_S:
                    renewed, kept = loop.time(), told.all
                    state = await self._queue.renew(job.id, self.id, *kept, self._clock())
                elif await self._queue.cancel_asked(job.id):
                    state = "cancel"
                if state != "go on":
                    return state
        finally:
            for task in (reading, ended, stopping):
                task.cancel()
            await asyncio.gather(reading, ended, stopping, return_exceptions=True)


class _Told:
    """The newest progress that a process told, and its training curves."""

    def __init__(self, curves: Curves) -> None:
        self.all: tuple[tuple[str, int, int], Curves] = ("", 0, 0), curves

    async def read(self, process: Process) -> None:
        """Read until the process ends; what is no progress is thrown away, so that it never waits for us."""
        assert process.stdout is not None
        while not process.stdout.at_eof():
            try:
                match json.loads(await process.stdout.readline()):
                    case [str(part), int(done), int(total)]:
                        self.all = (part, done, total), self.all[1]
                    case dict(point):
                        self.all = self.all[0], with_point(self.all[1], point)
            except (ValueError, RecursionError):  # no JSON, no point, or a line without end
                continue


async def _end(process: Process) -> None:
    """End a process and all that it started: politely, then not."""
    for sign, wait_s in ((signal.SIGTERM, _TERM_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), wait_s)
    if process.stdin is not None:
        process.stdin.close()
