"""A static copy of what nodes fetch, for any plain file server or CDN: the signed repository and the artifacts on offer.

Files are written in the order in which a node comes to need them last: artifacts, targets, metadata, and the timestamp at
the end. So whoever looks in the middle, or after a crash, finds the former state whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.releases.repository import APPROVERS, ROLLOUT, Repository
from coordinator.store.blobs import FolderBlobs, write_atomically
from protocols.trust import KNOWLEDGE, ROLLOUT_PATH, release_path


@dataclass
class Written:
    """What a run did."""

    serial: int
    files: int = 0
    copied: int = 0
    copied_bytes: int = 0

    def document(self) -> dict[str, int]:
        """The JSON form."""
        return {
            "serial": self.serial,
            "files": self.files,
            "copied": self.copied,
            "copied_bytes": self.copied_bytes,
        }


def write_mirror(repository: Repository, artifacts: FolderBlobs, folder: Path) -> Written:
    """Bring the tree below ``folder`` up to date; what is there already is not written again, and nothing is removed.

    Raises:
        CoordinatorError: ``artifact.mismatch`` where an artifact on disk is damaged.
        OSError: it cannot be written.
    """
    with repository.exclusive():
        rollout = repository.rollout()
        written = Written(rollout.serial)
        targets = [(ROLLOUT_PATH, repository.current(ROLLOUT).signed.targets[ROLLOUT_PATH])]
        approved = repository.current(APPROVERS).signed.targets
        offered = [release_path(m.disease, offer.release) for m in rollout.models for offer in m.offers]
        if rollout.knowledge is not None:
            offered.append(release_path(KNOWLEDGE, rollout.knowledge))
        targets += [(path, approved[path]) for path in offered if path in approved]
        sources = [repository.target_path(path, target) for path, target in targets]
        for source in sources[1:]:
            for sha256 in _artifacts(json.loads(source.read_bytes())):
                _copy_artifact(artifacts, sha256, folder / "v1" / "artifacts" / sha256, written)
        tuf = folder / "v1" / "tuf"
        for source in sources:
            _copy(source, tuf / "targets" / source.relative_to(repository.targets), written)
        for source in [*_current(repository), repository.metadata / "timestamp.json"]:
            _copy(source, tuf / "metadata" / source.name, written)
        return written


def _artifacts(document: dict[str, Any]) -> list[str]:
    """What a manifest, or the description of a knowledge base, names."""
    named = [document["artifact"], *document["patches"]] if "artifact" in document else document["artifacts"]
    return [digest for item in named for digest in (item["sha256"], item.get("chunks")) if digest is not None]


def _current(repository: Repository) -> list[Path]:
    """Every root, since nodes follow their chain, and what the current timestamp leads to."""
    roots = sorted(repository.metadata.glob("*.root.json"), key=lambda p: int(p.name.split(".")[0]))
    roles = [f"{repository.current(role).signed.version}.{role}.json" for role in ("targets", APPROVERS, ROLLOUT)]
    snapshot = f"{repository.timestamp().signed.snapshot_meta.version}.snapshot.json"
    return [*roots, *(repository.metadata / name for name in (*roles, snapshot))]


def _copy_artifact(artifacts: FolderBlobs, sha256: str, target: Path, written: Written) -> None:
    source = artifacts.path(sha256)
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        written.files += 1
        return
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CoordinatorError("artifact.mismatch", artifact=sha256[:12])
    _write(target, data, written)


def _copy(source: Path, target: Path, written: Written) -> None:
    """Metadata of the same version may differ from what a crashed publication left."""
    data = source.read_bytes()
    if target.is_file() and target.read_bytes() == data:
        written.files += 1
        return
    _write(target, data, written)


def _write(target: Path, data: bytes, written: Written) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    written.files += 1
    written.copied += 1
    written.copied_bytes += len(data)
