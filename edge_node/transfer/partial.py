"""A file that is still arriving. What came so far survives a killed process and is continued."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_node.errors import DamagedBytesError
from edge_node.files import naming, sync_folder
from protocols.artifacts import Artifact

_BLOCK = 1024 * 1024


class PartialFile:
    """Collects the bytes of one artifact in order, hashing them as they come. One process at a time."""

    def __init__(self, path: Path, artifact: Artifact) -> None:
        """Open ``path``, continuing what it holds; more than the artifact's size is thrown away."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._artifact = artifact
        self._file = path.open("a+b")
        self._digest = hashlib.sha256()
        self.received = 0
        self._continue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with naming(self._path):
            self._file.close()
        if not self.received:
            self._path.unlink(missing_ok=True)

    def _continue(self) -> None:
        if self._file.seek(0, os.SEEK_END) > self._artifact.size_bytes:
            self.restart()
            return
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._digest.update(block)
            self.received += len(block)

    @property
    def missing_bytes(self) -> int:
        """How much of the declared size has not arrived."""
        return self._artifact.size_bytes - self.received

    def append(self, data: bytes) -> None:
        """Add the next bytes.

        Raises:
            DamagedBytesError: more than the declared size; nothing of ``data`` is kept.
        """
        if len(data) > self.missing_bytes:
            raise DamagedBytesError("artifact.mismatch", artifact=self._artifact.sha256[:12])
        with naming(self._path):
            self._file.write(data)
        self._digest.update(data)
        self.received += len(data)

    def restart(self) -> None:
        """Throw away what arrived."""
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.received = 0

    def check(self) -> None:
        """Make sure that all of it is here and right.

        Raises:
            DamagedBytesError: it is not.
        """
        if self.missing_bytes or self._digest.hexdigest() != self._artifact.sha256:
            raise DamagedBytesError("artifact.mismatch", artifact=self._artifact.sha256[:12])

    def finish(self, target: Path) -> None:
        """Move the checked file to ``target``, on the disk before the move, so that ``target`` is never half a file."""
        self.check()
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)
        sync_folder(target.parent)
