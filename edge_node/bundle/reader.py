"""Reading a bundle from a stick. Its structure is checked before any of it is used; its content is believed by nobody."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from edge_node.errors import AbsentError, EdgeError, SourceError, UnreachableError
from protocols import bundle
from protocols.artifacts import Artifact, is_sha256
from protocols.errors import ProtocolError

_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Hint:
    """What the bundle says of itself. A reason to leave something alone, never to believe something.

    Attributes:
        coordinator: fingerprint of the CA of whose network it is.
        root: version of the newest root metadata in it.
        timestamp: version of the signed timestamp in it; 0: it holds no list.
    """

    coordinator: str
    root: int
    timestamp: int


class Bundle:
    """An open bundle's files. Use ``opened``."""

    def __init__(self, path: Path, entries: dict[str, bundle.Entry], hint: Hint) -> None:
        self._path = path
        self._entries = entries
        self.hint = hint

    @classmethod
    def opened(cls, path: Path) -> Bundle:
        """Check a bundle's structure. Blocking.

        Raises:
            ProtocolError: ``bundle.malformed``.
            EdgeError: ``bundle.newer``.
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - bundle.END_BYTES, 0))
            directory = bundle.read_end(file.read(bundle.END_BYTES), size)
            file.seek(directory.start)
            entries = bundle.read_directory(file.read(directory.size_bytes), directory)
            for entry in entries.values():
                file.seek(entry.header_start)
                bundle.check_local(file.read(bundle.LOCAL_BYTES + len(entry.name)), entry)
            header = entries.get(bundle.HEADER)
            if header is None or header.size_bytes > bundle.MAX_HEADER_BYTES:
                raise ProtocolError("bundle.malformed", field=bundle.HEADER)
            file.seek(header.start)
            return cls(path, entries, _hint(file.read(header.size_bytes)))

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def holds(self, artifact: Artifact) -> bool:
        """Whether a file of this artifact's name and size is in it."""
        entry = self._entries.get(bundle.ARTIFACTS + artifact.sha256)
        return entry is not None and entry.size_bytes == artifact.size_bytes

    def below(self, folder: str) -> list[bundle.Entry]:
        """The files in one of its folders."""
        return [entry for name, entry in sorted(self._entries.items()) if name.startswith(folder)]

    async def whole(self, entry: bundle.Entry) -> bytes:
        """A small file's bytes."""
        return b"".join([block async for block in self.blocks(entry.name, 0, None)])

    async def blocks(self, name: str, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
        """A file's bytes from ``start`` up to before ``stop``.

        Raises:
            UnreachableError: ``bundle.unreadable``: the stick is gone.
        """
        entry = self._entries[name]
        end = entry.size_bytes if stop is None else min(stop, entry.size_bytes)
        try:
            with await asyncio.to_thread(self._path.open, "rb") as file:
                await asyncio.to_thread(file.seek, entry.start + start)
                while start < end and (data := await asyncio.to_thread(file.read, min(_BLOCK, end - start))):
                    start += len(data)
                    yield data
        except OSError as error:
            raise UnreachableError("bundle.unreadable") from error


class BundleSource:
    """A bundle in the place of the coordinator: for ``CatalogueFeed`` and ``ArtifactFetcher``, which verify what it says."""

    def __init__(self, opened: Bundle) -> None:
        self._bundle = opened
        self.taken_bytes = 0

    async def published(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield a file of the signed repository."""
        name = bundle.TUF + path
        if name not in self._bundle:
            raise AbsentError("bundle.lacks", name=path)
        async for data in self._bundle.blocks(name, 0, None):
            self.taken_bytes += len(data)
            yield data

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield an artifact's bytes from ``start`` up to before ``stop``."""
        name = bundle.ARTIFACTS + artifact.sha256
        if name not in self._bundle:
            raise SourceError("bundle.lacks", name=f"{artifact.role} {artifact.sha256[:12]}")
        async for data in self._bundle.blocks(name, start, stop):
            self.taken_bytes += len(data)
            yield data


def _hint(data: bytes) -> Hint:
    malformed = ProtocolError("bundle.malformed", field=bundle.HEADER)
    try:
        document = json.loads(data)
        form, coordinator = document["format"], document["coordinator"]
        root, timestamp = document["root"], document["timestamp"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise malformed from error
    if form != bundle.FORMAT and str(form).startswith(bundle.FAMILY):
        raise EdgeError("bundle.newer")
    if form != bundle.FORMAT or not is_sha256(coordinator) or type(root) is not int or type(timestamp) is not int:
        raise malformed
    return Hint(coordinator, root, timestamp)
