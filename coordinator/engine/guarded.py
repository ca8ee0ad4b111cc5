"""Workers for what strangers sent: each has a memory limit, and one that dies or hangs costs the item it had, nothing else."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from coordinator.engine.ending import end_with_starter

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 64  # finished results that wait for a slower one before them, a worker


def limit_memory(limit_bytes: int) -> None:
    """Let an allocation beyond the limit fail in this process, where the platform can do that (Windows cannot)."""
    try:
        import resource
    except ImportError:
        return
    # Address space also counts what is reserved and never used, which numerical libraries do by the gigabyte.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, hard = resource.getrlimit(kind)
    most = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    with suppress(ValueError, OSError):  # macOS refuses some values
        resource.setrlimit(kind, (most, hard))


def _serve(line: Connection, function: Callable[[Any], Any], limit_bytes: int) -> None:
    """Answer one item after the other until the line closes. Runs in a worker."""
    end_with_starter()
    limit_memory(limit_bytes)
    while True:
        try:
            item = line.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer: tuple[bool, Any] = (True, function(item))
        except Exception as error:
            answer = (False, error)
        line.send(answer)


@dataclass
class _Worker(Generic[Item]):
    process: BaseProcess
    line: Connection
    number: int = -1  # of the item at work
    item: Item | None = None
    since: float = 0.0

    def end(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.join()
        self.process.close()


class GuardedWorkers:
    """Runs one importable function over many items in spawned processes."""

    def __init__(self, workers: int, limit_bytes: int, timeout_s: float) -> None:
        self._workers = workers
        self._limit_bytes = limit_bytes
        self._timeout_s = timeout_s

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], lost: Callable[[Item], Result]
    ) -> Iterator[Result]:
        """Yield results in the order of ``items``; ``lost`` answers for an item whose worker died or took too long.

        An exception of ``function`` is raised here. Leaving early ends the workers.
        """
        waiting = enumerate(items)
        idle: list[_Worker[Item]] = []
        busy: list[_Worker[Item]] = []
        done: dict[int, Result] = {}
        following = 0
        try:
            while True:
                while len(busy) < self._workers and len(done) < _AHEAD * self._workers:
                    try:
                        number, item = next(waiting)
                    except StopIteration:
                        break
                    worker = idle.pop() if idle else self._start(function)
                    worker.number, worker.item, worker.since = number, item, time.monotonic()
                    with suppress(OSError):  # it died while idle: seen below
                        worker.line.send(item)
                    busy.append(worker)
                if not busy and following not in done:
                    return
                if following not in done:
                    self._collect(busy, idle, done, lost)
                while following in done:
                    yield done.pop(following)
                    following += 1
        finally:
            for worker in [*busy, *idle]:
                worker.end()

    def _collect(
        self,
        busy: list[_Worker[Item]],
        idle: list[_Worker[Item]],
        done: dict[int, Result],
        lost: Callable[[Item], Result],
    ) -> None:
        """Wait for answers, and for the first deadline."""
        first = min(worker.since for worker in busy) + self._timeout_s - time.monotonic()
        ready = wait([worker.line for worker in busy], max(first, 0))
        for worker in list(busy):
            assert worker.item is not None
            if worker.line in ready:
                try:
                    good, answer = worker.line.recv()
                except (EOFError, OSError):
                    done[worker.number] = lost(worker.item)
                    busy.remove(worker)
                    worker.end()
                    continue
                if not good:
                    raise answer
                done[worker.number] = answer
                busy.remove(worker)
                idle.append(worker)
            elif time.monotonic() - worker.since >= self._timeout_s:
                done[worker.number] = lost(worker.item)
                busy.remove(worker)
                worker.end()

    def _start(self, function: Callable[[Item], Result]) -> _Worker[Item]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, function, self._limit_bytes), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)
