"""A pool of processes on this machine, one for each core that we may use."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from coordinator.engine.ending import end_with_starter
from coordinator.engine.guarded import GuardedWorkers

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 8  # at most; a short list is dealt out finer, so that no core stands idle
_TIMEOUT_S = 120  # for one item of a stranger's; the largest picture allowed takes seconds


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """What is started meanwhile does not see Ctrl-C before ``_settle``: it would print a traceback for each worker."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle() -> None:
    """A worker leaves Ctrl-C to its parent, and ends with it: it holds both ends of its own queue and would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_starter()


class LocalEngine:
    """Spawned workers: they never inherit locks, sockets or TensorFlow from the caller."""

    def __init__(self, workers: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._workers = workers or cores or 1

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in order; leaving early cancels what has not started."""
        pool = ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), initializer=_settle)
        share = len(items) // (2 * self._workers) if isinstance(items, Sized) else _CHUNK
        try:
            with _interrupts_held_back():
                results = pool.map(function, items, chunksize=max(1, min(share, _CHUNK)))
            yield from results
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def map_guarded(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        lost: Callable[[Item], Result],
        limit_bytes: int,
    ) -> Iterator[Result]:
        """Yield results in order; ``lost`` answers for an item whose worker died, hung or ran out of memory."""
        return GuardedWorkers(self._workers, limit_bytes, _TIMEOUT_S).map(function, items, lost)
