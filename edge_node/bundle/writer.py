"""Writing a bundle: beside its place, to the disk, and only then into it."""

from __future__ import annotations

import errno
import hashlib
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from edge_node.errors import EdgeError
from edge_node.files import replacing
from protocols import bundle
from protocols.artifacts import Artifact, canonical_json

_BLOCK = 1024 * 1024
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # zip's; an entry's time says nothing
_OVERHEAD = 2 * 200

Progress = Callable[[int], None]


def write_bundle(
    out: Path,
    header: Mapping[str, object],
    files: Mapping[str, bytes],
    artifacts: Collection[tuple[Artifact, Path]],
    progress: Progress,
) -> int:
    """Write the zip; returns its size. On any failure ``out`` is what it was. Blocking.

    Args:
        out: the bundle.
        header: what ``bundle.json`` says.
        files: small files by their names in the bundle.
        artifacts: the large ones, each once, and where they stand; each is hashed while it is copied.
        progress: called with the number of bytes that were just written.

    Raises:
        EdgeError: ``bundle.too_large``, ``bundle.stick_full``, or ``edge.cache_damaged`` where a file is not what its name says.
        OSError: it cannot be written.
    """
    size = sum(map(len, files.values())) + sum(artifact.size_bytes for artifact, _ in artifacts)
    if size + _OVERHEAD * (len(files) + len(artifacts)) > bundle.MAX_BUNDLE_BYTES:
        raise EdgeError("bundle.too_large")
    if len(files) + len(artifacts) >= bundle.MAX_ENTRIES:
        raise EdgeError("bundle.too_large")
    try:
        with replacing(out) as file, zipfile.ZipFile(file, "w", allowZip64=False) as archive:
            archive.writestr(zipfile.ZipInfo(bundle.HEADER, _BEGINNING), canonical_json(header))
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name, _BEGINNING), data)
                progress(len(data))
            for artifact, path in artifacts:
                _copy(archive, artifact, path, progress)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise EdgeError("bundle.stick_full", path=out, size_bytes=size) from error
        raise
    return out.stat().st_size


def _copy(archive: zipfile.ZipFile, artifact: Artifact, path: Path, progress: Progress) -> None:
    info = zipfile.ZipInfo(bundle.ARTIFACTS + artifact.sha256, _BEGINNING)
    info.file_size = artifact.size_bytes
    digest, copied = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w") as target:
        while data := source.read(_BLOCK):
            digest.update(data)
            copied += len(data)
            target.write(data)
            progress(len(data))
    if copied != artifact.size_bytes or digest.hexdigest() != artifact.sha256:
        raise EdgeError("edge.cache_damaged", role=artifact.role, artifact=artifact.sha256[:12])
