"""Artifacts on disk: ``artifacts/<sha256>`` is always a whole, verified file; ``partial/`` holds what is arriving."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from edge_node.cache.store import CacheStore, Stamp
from edge_node.errors import EdgeError
from edge_node.transfer.partial import PartialFile
from edge_node.transfer.parts import SUFFIX, Parts
from protocols.artifacts import Artifact, is_sha256, sha256_file

FOLDER = "artifacts"


class ArtifactCache:
    """Files named by their digest. A file is hashed again whenever its size or time is not as last verified."""

    def __init__(self, folder: Path, store: CacheStore) -> None:
        self._finished = folder / FOLDER
        self._arriving = folder / "partial"
        self._store = store

    def path(self, sha256: str) -> Path:
        """Where an artifact stands once it is here."""
        return self._finished / sha256

    def held_bytes(self, artifact: Artifact) -> int:
        """How much of an artifact is here, by file sizes alone; for telling people what a download would cost."""
        finished = _size(self.path(artifact.sha256))
        if finished == artifact.size_bytes:
            return finished
        arrived = max(_size(self._arriving / artifact.sha256) or 0, _sizes(self._parts(artifact.sha256)))
        return min(arrived, artifact.size_bytes)

    def bytes_needed(self, files: Collection[Artifact]) -> int:
        """How much of ``files`` is still to be fetched; a file that stands twice counts once."""
        return sum(a.size_bytes - self.held_bytes(a) for a in {a.sha256: a for a in files}.values())

    def unfinished_bytes(self, files: Collection[Artifact]) -> int:
        """The full size of those of ``files`` that are not all here."""
        different = {a.sha256: a for a in files}.values()
        return sum(a.size_bytes for a in different if self.held_bytes(a) < a.size_bytes)

    async def holds(self, artifact: Artifact) -> bool:
        """Whether the artifact is here, whole and unaltered; an altered file is thrown away."""
        path = self.path(artifact.sha256)
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        now = Stamp(status.st_size, status.st_mtime_ns)
        if await self._store.stamp(artifact.sha256) == now and now.size_bytes == artifact.size_bytes:
            return True
        if await asyncio.to_thread(sha256_file, path) == artifact.sha256:
            await self._store.set_stamp(artifact.sha256, now)
            return True
        path.unlink(missing_ok=True)
        await self._store.set_stamp(artifact.sha256, None)
        return False

    async def require(self, files: Collection[Artifact]) -> None:
        """Make sure that all ``files`` are here.

        Raises:
            EdgeError: ``edge.cache_damaged``.
        """
        for artifact in files:
            if not await self.holds(artifact):
                raise EdgeError("edge.cache_damaged", role=artifact.role, artifact=artifact.sha256[:12])

    def partial(self, artifact: Artifact) -> PartialFile:
        """What has arrived of an artifact; the caller holds the node's lock."""
        return PartialFile(self._arriving / artifact.sha256, artifact)

    def parts(self, artifact: Artifact, digests: Sequence[str]) -> Parts:
        """What has arrived of an artifact in chunks; the caller holds the node's lock."""
        return Parts(self._parts(artifact.sha256), artifact, digests)

    def _parts(self, sha256: str) -> Path:
        return self._arriving / f"{sha256}{SUFFIX}"

    async def accept(self, artifact: Artifact, partial: PartialFile) -> None:
        """Put a finished file on the shelf."""
        path = self.path(artifact.sha256)
        await asyncio.to_thread(partial.finish, path)
        status = path.stat()
        await self._store.set_stamp(artifact.sha256, Stamp(status.st_size, status.st_mtime_ns))

    async def sweep(self, keep: Collection[str]) -> int:
        """Delete what no installed release needs and ``keep`` does not name; returns the bytes freed.

        Args:
            keep: digests that may still be wanted, such as those of a download that was cut off.

        The caller holds the node's lock.
        """
        return await self._delete(path for path in self._files() if path.name.removesuffix(SUFFIX) not in keep)

    async def discard(self, files: Collection[Artifact]) -> int:
        """Delete those of ``files`` that no installed release needs; returns the bytes freed. Under the lock."""
        unwanted = {artifact.sha256 for artifact in files}
        return await self._delete(path for path in self._files() if path.name.removesuffix(SUFFIX) in unwanted)

    async def _delete(self, paths: Iterable[Path]) -> int:
        needed = await self._store.needed()
        freed = 0
        for path in list(paths):
            if (sha256 := path.name.removesuffix(SUFFIX)) in needed:
                continue
            if path.is_dir():
                freed += _sizes(path)
                shutil.rmtree(path)
                continue
            freed += path.stat().st_size
            path.unlink()
            await self._store.set_stamp(sha256, None)
        return freed

    def total_bytes(self) -> int:
        """What the cache takes up on the disk, arriving files included."""
        return sum(_sizes(path) if path.is_dir() else path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        folders = (folder for folder in (self._finished, self._arriving) if folder.is_dir())
        return [
            path for folder in folders for path in sorted(folder.iterdir()) if is_sha256(path.name.removesuffix(SUFFIX))
        ]


def _sizes(folder: Path) -> int:
    """The bytes of the chunks in a folder, which may not be there."""
    return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
