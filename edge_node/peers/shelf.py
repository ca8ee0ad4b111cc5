"""What this node can give to peers: whole artifacts of the cache, hashed again before the first chunk goes out."""

from __future__ import annotations

from pathlib import Path

from protocols.artifacts import sha256_file
from protocols.chunks import span

_Stamp = tuple[int, int]


class SharedShelf:
    """Reads chunks of artifacts. A file is hashed whenever its size or time is not as it was when found right."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: files named by their digests."""
        self._folder = folder
        self._right: dict[str, _Stamp] = {}

    def holds(self, sha256: str) -> bool:
        """Whether the artifact is here, whole and unaltered."""
        path = self._folder / sha256
        try:
            status = path.stat()
            stamp = status.st_size, status.st_mtime_ns
            if self._right.get(sha256) != stamp:
                if sha256_file(path) != sha256:
                    return False
                self._right[sha256] = stamp
        except OSError:
            return False
        return True

    def chunk(self, sha256: str, index: int) -> bytes | None:
        """A chunk; None: it is not here."""
        if not self.holds(sha256):
            return None
        start, stop = span(index, self._right[sha256][0])
        if stop < start:
            return None
        with (self._folder / sha256).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)
