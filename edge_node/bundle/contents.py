"""Which files of the signed repository another node needs, as far as the files at hand tell. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from protocols.trust import KNOWLEDGE, ROLLOUT_PATH, Rollout, release_path

TIMESTAMP = "metadata/timestamp.json"
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Target:
    """A signed file: where the coordinator serves it below its ``/v1/tuf/``, and its digest."""

    path: str
    sha256: str


def versioned(role: str, data: bytes) -> str:
    """Under which path a role's metadata is served."""
    return f"metadata/{_signed(data)['version']}.{role}.json"


def timestamp_of(files: Files) -> tuple[int, datetime]:
    """Version and expiry of the timestamp."""
    signed = _signed(files[TIMESTAMP])
    return int(signed["version"]), datetime.fromisoformat(signed["expires"])


def newest_root(files: Files) -> int:
    """The highest version of root metadata at hand; 0: none."""
    return max((int(path.split("/")[1].split(".")[0]) for path in files if path.endswith(".root.json")), default=0)


def metadata_paths(files: Files) -> list[str]:
    """Paths of all metadata that a node needs which starts from any root, as far as ``files`` tell; asked again, more."""
    paths = [f"metadata/{version}.root.json" for version in range(1, newest_root(files) + 1)]
    if TIMESTAMP not in files:
        return [*paths, TIMESTAMP]
    snapshot = f"metadata/{_signed(files[TIMESTAMP])['meta']['snapshot.json']['version']}.snapshot.json"
    roles = _signed(files[snapshot])["meta"] if snapshot in files else {}
    return [
        *paths,
        TIMESTAMP,
        snapshot,
        *(f"metadata/{meta['version']}.{name}" for name, meta in sorted(roles.items())),
    ]


def rollout_target(files: Files) -> Target | None:
    """The rollout document; None where the metadata that names it is missing."""
    return _target(files, "rollout", ROLLOUT_PATH)


def release_target(files: Files, disease: str, release: str) -> Target | None:
    """A release's manifest, or the knowledge base's; None where nobody approved it or the metadata is missing."""
    return _target(files, "approvers", release_path(disease, release))


def offered(rollout: Rollout) -> list[tuple[str, str]]:
    """Every release that some node may be given, as (disease, release)."""
    revoked = {r.release for r in rollout.revoked}
    found: list[tuple[str, str]] = []
    for model in rollout.models:
        for offer in model.offers:
            if offer.release in revoked:
                continue
            found.append((model.disease, offer.release))
            if offer.percent == 100 and not model.paused:
                break  # no node gets past this one
    return found


def knowledge_release(rollout: Rollout) -> list[tuple[str, str]]:
    """The knowledge base's release, if there is one to be given."""
    is_revoked = rollout.knowledge in {r.release for r in rollout.revoked}
    return [] if rollout.knowledge is None or is_revoked else [(KNOWLEDGE, rollout.knowledge)]


def current(files: Files, more: Iterable[str]) -> dict[str, bytes]:
    """The metadata and the files at ``more``, without what only an earlier state needed."""
    wanted = {*metadata_paths(files), *more}
    return {path: data for path, data in sorted(files.items()) if path in wanted}


def missing(files: Files, paths: Collection[str]) -> list[str]:
    """Those of ``paths`` that are not at hand."""
    return [path for path in paths if path not in files]


def _target(files: Files, role: str, name: str) -> Target | None:
    path = next((p for p in metadata_paths(files) if p.endswith(f".{role}.json")), None)
    if path is None or path not in files:
        return None
    target = _signed(files[path])["targets"].get(name)
    if target is None:
        return None
    digest = target["hashes"]["sha256"]
    folder, _, base = name.rpartition("/")
    return Target(f"targets/{folder}/{digest}.{base}", digest)


def _signed(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data)["signed"])
