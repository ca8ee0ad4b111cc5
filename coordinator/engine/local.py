"""A pool of processes on this machine, one for each core that we may use."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 8


class LocalEngine:
    """Spawned workers: they never inherit locks, sockets or TensorFlow from the caller."""

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in order; leaving early cancels what has not started."""
        pool = ProcessPoolExecutor(self._workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            yield from pool.map(function, items, chunksize=_CHUNK)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
