"""Gathering the coordinator's signed repository for a stick: from what this node verified, else from the coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from hashlib import sha256
from pathlib import Path

from edge_node.bundle import contents
from edge_node.bundle.contents import Target
from edge_node.errors import SourceError
from edge_node.trust.bridge import SignedOrigin
from protocols.trust import Rollout

_ROLES = ("snapshot", "targets", "approvers", "rollout")
_MOST_BYTES = 4 * 1024 * 1024  # of one file


class Gatherer:
    """Collects files by the paths under which the coordinator serves them. What it fetches is believed by nobody here."""

    def __init__(self, origins: Sequence[SignedOrigin], shelf: Callable[[str], Path]) -> None:
        """Args: origins: where to ask for what is not here; none: nobody is asked. shelf: see ``SignedRepository``."""
        self._origins = list(origins)
        self._shelf = shelf
        self.files: dict[str, bytes] = {}
        self.missing: list[str] = []

    async def metadata(self, folder: Path, lock: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        """Take the metadata that this node verified, and fetch what it did not keep, such as roots before its first one.

        Args:
            folder: of the TUF client.
            lock: held by whoever verifies.
        """
        async with lock():
            self.files = await asyncio.to_thread(_kept, folder)
        asked: set[str] = set()
        while wanted := [
            p for p in contents.missing(self.files, contents.metadata_paths(self.files)) if p not in asked
        ]:
            for path in wanted:
                asked.add(path)
                await self._fetch(path)
        self.missing += contents.missing(self.files, contents.metadata_paths(self.files))

    async def rollout(self) -> Rollout | None:
        """The rollout document; None where it is not at hand."""
        target = contents.rollout_target(self.files)
        data = None if target is None else await self.target(target, fetch=True)
        return None if data is None else Rollout.from_bytes(data)

    async def target(self, target: Target, *, fetch: bool) -> bytes | None:
        """Take a signed file in; what is not here is only fetched with ``fetch``."""
        data = self.files.get(target.path)
        if data is None:
            data = await asyncio.to_thread(_read, self._shelf(target.sha256), target.sha256)
            if data is not None:
                self.files[target.path] = data
            elif fetch:
                data = await self._fetch(target.path)
                if data is None:
                    self.missing.append(target.path)
        return data

    async def _fetch(self, path: str) -> bytes | None:
        for origin in list(self._origins):
            data = bytearray()
            try:
                async with aclosing(origin.published(path)) as stream:
                    async for block in stream:
                        data += block
                        if len(data) > _MOST_BYTES:
                            raise SourceError("edge.metadata_missing", path=path)
            except SourceError:
                continue
            self.files[path] = bytes(data)
            return self.files[path]
        return None


def kept_versions(folder: Path) -> tuple[int, int]:
    """Versions of the newest root and of the timestamp that the TUF client keeps; 0: none."""
    files = _kept(folder)
    return contents.newest_root(files), contents.timestamp_of(files)[0] if contents.TIMESTAMP in files else 0


def _kept(folder: Path) -> dict[str, bytes]:
    """What the TUF client keeps, under the names that the coordinator gives it."""
    found = {f"metadata/{path.name}": path.read_bytes() for path in folder.glob("root_history/*.root.json")}
    timestamp = folder / "timestamp.json"
    if timestamp.is_file():
        found[contents.TIMESTAMP] = timestamp.read_bytes()
    for role in _ROLES:
        path = folder / f"{role}.json"
        if path.is_file():
            data = path.read_bytes()
            found[contents.versioned(role, data)] = data
    document = folder / "document"
    target = contents.rollout_target(found)
    if target is not None and document.is_file():
        data = document.read_bytes()
        if sha256(data).hexdigest() == target.sha256:
            found[target.path] = data
    return found


def _read(path: Path, digest: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return data if sha256(data).hexdigest() == digest else None
