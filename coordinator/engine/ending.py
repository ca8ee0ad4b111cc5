"""Processes that end with the one that started them, whatever way that ends: kill -9 leaves nobody computing for no one.

Both sides hold an end of a pipe; the starter's closes with it. On Linux the kernel then ends the other side, even while a
library holds Python's lock, which TensorFlow's converter does for many seconds at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

if sys.platform == "linux":
    import fcntl


@contextmanager
def lifeline() -> Iterator[int]:
    """What a child is given as its stdin, to call ``end_with_stdin``; it lasts as long as this block."""
    reading, writing = os.pipe()  # neither is inherited by other children
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def end_with_stdin() -> None:
    """In a child: end when its stdin closes. Nothing may be sent there."""

    def closed() -> None:
        while os.read(0, 4096):
            pass

    _end_with(0, closed)


def end_with_starter() -> None:
    """In a worker of ``multiprocessing``: end when the process does that started it."""
    starter = multiprocessing.parent_process()
    assert starter is not None
    _end_with(starter.sentinel, starter.join)


def _end_with(descriptor: int, closed: Callable[[], None]) -> None:
    if sys.platform == "linux":  # SIGIO ends whoever does not handle it
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)

    def wait() -> None:  # elsewhere, and where it had closed before
        closed()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
