"""Until when what went over a line is paid for: in memory, or in a file that all processes of one home share."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from edge_node.cache.lock import try_lock

_FORM = struct.Struct("<d")
_TRIES, _TRY_S = 20, 0.0005
_MOST_AHEAD_S = 120.0  # what stands later is of before the machine's last start, whose clock was another


class Bill(Protocol):
    """A moment, by a clock that all who share it read alike."""

    def change(self, change: Callable[[float | None], float]) -> float:
        """Put ``change`` of the present moment in its place, and return that; it is None at first."""
        ...


class OwnBill:
    """Of one process."""

    def __init__(self) -> None:
        self._until_s: float | None = None

    def change(self, change: Callable[[float | None], float]) -> float:
        """See ``Bill``."""
        self._until_s = change(self._until_s)
        return self._until_s


class SharedBill:
    """Of all processes that open the same file, eight bytes long. A process that is killed leaves at most a debt of
    seconds; where the file cannot be written, the process keeps its own.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Args: clock: the machine's monotonic one, which starts anew with the machine."""
        self._path = path
        self._clock = clock
        self._own_s: float | None = None

    def change(self, change: Callable[[float | None], float]) -> float:
        """See ``Bill``."""
        self._own_s = change(self._own_s)
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _lock(descriptor)
                until_s = change(self._known(os.read(descriptor, _FORM.size)))
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, _FORM.pack(until_s))
                self._own_s = until_s
            finally:  # which frees the lock
                os.close(descriptor)
        return self._own_s

    def _known(self, data: bytes) -> float | None:
        if len(data) != _FORM.size:
            return None
        until_s: float = _FORM.unpack(data)[0]
        return until_s if 0.0 <= until_s <= self._clock() + _MOST_AHEAD_S else None


def _lock(descriptor: int) -> None:
    """Wait for the lock, which others hold for microseconds.

    Raises:
        OSError: one of them was stopped while it held it.
    """
    for _ in range(_TRIES):
        if try_lock(descriptor):
            return
        time.sleep(_TRY_S)
    raise BlockingIOError
