"""Artifacts in chunks, for fetching them from several places at once. Pure.

An artifact of more than one chunk has a *chunk list*: the SHA-256 digests of its chunks, one after the other. The list is
itself an artifact, named by ``Artifact.chunks`` in the signed manifest, so that each chunk can be checked alone, whoever
brought it, at 32 bytes a chunk and only for nodes that fetch the artifact.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from protocols.artifacts import Artifact

CHUNK_BYTES = 256 * 1024
LIST_ROLE = "chunks"
_DIGEST_BYTES = 32


def count(size_bytes: int) -> int:
    """How many chunks an artifact of this size has; an empty one has one, which is empty."""
    return max(-(-size_bytes // CHUNK_BYTES), 1)


def span(index: int, size_bytes: int) -> tuple[int, int]:
    """Where a chunk starts and ends (exclusive), in bytes."""
    start = index * CHUNK_BYTES
    return start, min(start + CHUNK_BYTES, size_bytes)


def chunk_list(path: Path) -> bytes | None:
    """The chunk list of a file; None where one chunk is all of it."""
    if path.stat().st_size <= CHUNK_BYTES:
        return None
    with path.open("rb") as file:
        return b"".join(hashlib.sha256(chunk).digest() for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))


def list_of(artifact: Artifact) -> Artifact | None:
    """The artifact's chunk list as an artifact; None where there is none."""
    if artifact.chunks is None:
        return None
    return Artifact(LIST_ROLE, artifact.chunks, count(artifact.size_bytes) * _DIGEST_BYTES)


def digests(artifact: Artifact, listed: bytes | None) -> list[str] | None:
    """The digest of each chunk.

    Args:
        artifact: whose.
        listed: its verified chunk list; None where there is none.

    Returns:
        One hexadecimal digest a chunk; None for an artifact of several chunks without a list.
    """
    if count(artifact.size_bytes) == 1:
        return [artifact.sha256]
    if listed is None:
        return None
    return [listed[at : at + _DIGEST_BYTES].hex() for at in range(0, len(listed), _DIGEST_BYTES)]
