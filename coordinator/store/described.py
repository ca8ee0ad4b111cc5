"""Naming stored files as artifacts, with their chunk lists beside them."""

from __future__ import annotations

from coordinator.store.blobs import FolderBlobs
from protocols.artifacts import Artifact
from protocols.chunks import chunk_list


def described(role: str, sha256: str, blobs: FolderBlobs) -> Artifact:
    """A stored file as an artifact; one of several chunks gets its chunk list stored too."""
    path = blobs.path(sha256)
    listed = chunk_list(path)
    return Artifact(role, sha256, path.stat().st_size, None if listed is None else blobs.put(listed))
