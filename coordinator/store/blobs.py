"""Files named by their digest, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class FolderBlobs:
    """Content-addressed files in a folder, two characters deep."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, sha256: str) -> Path:
        """Where the file is or would be."""
        return self._root / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the file is there."""
        return self.path(sha256).is_file()

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest; nothing is written where they are already there."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        return sha256

    def remove(self, sha256: str) -> None:
        """Delete a file if it is there."""
        self.path(sha256).unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file so that a crash at any moment leaves the old or the new one, on disk."""
    with replacing(path, mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write into, which takes the place of ``path`` when the block ends well."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
