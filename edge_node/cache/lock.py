"""One process at a time changes the cache. The system frees the lock when its holder dies, however it dies."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge_node.errors import EdgeError

_POLL_S = 0.1


@asynccontextmanager
async def exclusive(path: Path, wait_s: float = 60.0) -> AsyncIterator[None]:
    """Hold the lock file at ``path``.

    Raises:
        EdgeError: ``edge.busy`` when another process held it all the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        waited_s = 0.0
        while not try_lock(descriptor):
            if waited_s >= wait_s:
                raise EdgeError("edge.busy")
            await asyncio.sleep(_POLL_S)
            waited_s += _POLL_S
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Lock an open file; False: another process holds it. Closing it frees the lock."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file; False: another process holds it. Closing it frees the lock."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
