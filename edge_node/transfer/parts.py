"""The chunks of an artifact that is arriving, a file each, in any order. What came survives a killed process."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_node.files import naming
from edge_node.transfer.partial import PartialFile
from protocols.artifacts import Artifact
from protocols.chunks import span

SUFFIX = ".parts"


class Parts:
    """A folder of chunks. Files of full size are hashed when it is opened; shorter ones are continued."""

    def __init__(self, folder: Path, artifact: Artifact, digests: Sequence[str]) -> None:
        """Open ``folder``, continuing what it holds."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._size_bytes = artifact.size_bytes
        self._digests = digests
        self.held: set[int] = set()
        for index in range(len(digests)):
            if self.tail(index) >= self.size(index):
                self.check(index)

    def __len__(self) -> int:
        return len(self._digests)

    def size(self, index: int) -> int:
        """A chunk's whole size, bytes."""
        start, end = span(index, self._size_bytes)
        return end - start

    def tail(self, index: int) -> int:
        """How much of a chunk is here, bytes."""
        try:
            return self._path(index).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, index: int, data: bytes) -> None:
        """Add bytes to a chunk as they come from one place in order."""
        path = self._path(index)
        with naming(path), path.open("ab") as file:
            file.write(data)

    def put(self, index: int, data: bytes) -> bool:
        """Take a whole chunk if it is the right one."""
        if hashlib.sha256(data).hexdigest() != self._digests[index]:
            return False
        fresh = self._folder / f".{index}"
        with naming(fresh):
            fresh.write_bytes(data)
        fresh.replace(self._path(index))
        self.held.add(index)
        return True

    def check(self, index: int) -> bool:
        """Take a chunk that has arrived piece by piece; a wrong one is thrown away."""
        if hashlib.sha256(self.read(index)).hexdigest() != self._digests[index]:
            self._path(index).unlink(missing_ok=True)
            return False
        self.held.add(index)
        return True

    def read(self, index: int) -> bytes:
        """The bytes of a chunk that are here."""
        try:
            return self._path(index).read_bytes()
        except FileNotFoundError:
            return b""

    def pour(self, partial: PartialFile) -> None:
        """Write all chunks, one after the other, into ``partial``."""
        partial.restart()
        for index in range(len(self)):
            partial.append(self.read(index))

    def discard(self) -> None:
        """Delete the chunks."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self._folder / str(index)
