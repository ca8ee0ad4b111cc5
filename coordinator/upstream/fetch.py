"""Bringing a release's files here: resumable, bounded, whole or not at all. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from coordinator.errors import CoordinatorError
from coordinator.store.blobs import FolderBlobs
from coordinator.upstream.source import Source
from protocols.artifacts import Artifact

MOST_BYTES = 512 * 1024 * 1024  # of one release
_BLOCK = 1 << 20


def fetch(
    files: Sequence[Artifact],
    have: FolderBlobs,
    arriving: Path,
    source: Source,
    progress: Callable[[int, int], None],
) -> dict[str, Path]:
    """Every file's path by digest: those that are here already, else fetched to ``arriving``, where a cut-off part waits.

    Raises:
        CoordinatorError: ``upstream.too_large``, ``upstream.tampered`` (that file is thrown away), ``upstream.unreachable``,
            ``upstream.absent``.
    """
    total = sum(a.size_bytes for a in files)
    if total > MOST_BYTES:
        raise CoordinatorError("upstream.too_large", megabytes=total // 1_000_000, limit=MOST_BYTES // 1_000_000)
    arriving.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    done = 0
    for artifact in files:
        if have.has(artifact.sha256):
            found[artifact.sha256] = have.path(artifact.sha256)
            done += artifact.size_bytes
        else:
            before = done

            def told(size_bytes: int, before: int = before) -> None:
                progress(before + size_bytes, total)

            found[artifact.sha256] = _fetched(artifact, arriving / artifact.sha256, source, told)
            done += artifact.size_bytes
        progress(done, total)
    return found


def _fetched(artifact: Artifact, path: Path, source: Source, progress: Callable[[int], None]) -> Path:
    size = path.stat().st_size if path.exists() else 0
    if size > artifact.size_bytes:
        path.unlink()
        size = 0
    if size < artifact.size_bytes:
        with path.open("ab") as file:
            for block in source.get(f"/v1/artifacts/{artifact.sha256}", size):
                size += len(block)
                if size > artifact.size_bytes:
                    break
                file.write(block)
                progress(size)
    if size < artifact.size_bytes:
        raise CoordinatorError("upstream.unreachable", url="-", problem="the answer broke off")
    with path.open("rb") as file:
        right = size == artifact.size_bytes and hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
    if not right:
        path.unlink()
        raise CoordinatorError("upstream.tampered", detail=f"{artifact.role} {artifact.sha256[:12]}")
    return path
