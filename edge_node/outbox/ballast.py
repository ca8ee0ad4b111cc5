"""A file that only takes up room: on a full disk even deleting needs some, and this one can go first."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE_BYTES = 1024 * 1024


class Ballast:
    """Room set aside for the moment when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_up(self) -> None:
        """Make the file unless it is there, if there is room; random bytes, which no file system stores in less."""
        if self._path.exists():
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.touch(mode=0o600)
            fresh.write_bytes(os.urandom(SIZE_BYTES))
            fresh.replace(self._path)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    def drop(self) -> bool:
        """Give the room back; False: there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
