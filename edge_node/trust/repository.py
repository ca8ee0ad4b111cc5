"""The signed repository, read with python-tuf's client. Blocking: one thread, one process at a time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.metadata import Key, Metadata, Root, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge_node.errors import TrustError
from edge_node.trust.record import Evidence
from protocols.manifest import MAX_MANIFEST_BYTES
from protocols.trust import MAX_ROLLOUT_BYTES, ROLLOUT_PATH, Rollout, release_path

CONFIG = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=8,
    root_max_length=128 * 1024,
    timestamp_max_length=8 * 1024,
    snapshot_max_length=64 * 1024,
    targets_max_length=4 * 1024 * 1024,
)
APPROVERS, ROLLOUT = "approvers", "rollout"
_ROLES = ("root", "timestamp", "snapshot", "targets", ROLLOUT)
_DOCUMENT, _ARRIVING = "document", "arriving-"
_NAME_FIELD = "x-medmesh-name"
_MAX_NAME = 60


@dataclass(frozen=True)
class SignedFile:
    """A target that the approvers signed, whole and verified."""

    sha256: str
    data: bytes
    signer: str


class SignedRepository:
    """The coordinator's repository at one time."""

    def __init__(self, folder: Path, root: bytes, shelf: Callable[[str], Path], fetcher: FetcherInterface) -> None:
        """Args: folder: where verified metadata is kept; root: the metadata from which trust starts; shelf: where a
        file with a digest stands once it is here.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for left in (*folder.glob("tmp*"), *folder.glob(f"{_ARRIVING}*")):
            left.unlink(missing_ok=True)  # of a killed process
        self._folder = folder
        self._shelf = shelf
        self._updater = Updater(
            metadata_dir=str(folder),
            metadata_base_url="metadata/",
            target_base_url="targets/",
            fetcher=fetcher,
            config=CONFIG,
            bootstrap=root,
        )

    def evidence(self) -> Evidence:
        """Verify the newest state and read the rollout document.

        Raises:
            RepositoryError: python-tuf refuses something.
            DownloadError: something could not be fetched.
            TrustError: there is no rollout document, or an absurd one.
            ProtocolError: ``rollout.malformed``.
        """
        self._updater.refresh()
        target = self._updater.get_targetinfo(ROLLOUT_PATH)
        if target is None or target.length > MAX_ROLLOUT_BYTES:
            raise TrustError("trust.malformed", detail=ROLLOUT_PATH)
        document = self._file(target, self._folder / _DOCUMENT)
        root: Root = self._read("root").signed
        timestamp: Timestamp = self._read("timestamp").signed
        return Evidence(
            document=document,
            rollout=Rollout.from_bytes(document),
            rollout_keys=frozenset(self._delegated_keys(ROLLOUT)),
            timestamp_keys=frozenset(root.roles["timestamp"].keyids),
            timestamp_expires=timestamp.expires,
            expires={role: self._expires(role) for role in _ROLES},
            timestamp=(self._folder / "timestamp.json").read_bytes(),
        )

    def approvers_expire(self) -> datetime:
        """When the approvers' metadata expires; call it after ``release`` found something."""
        return self._expires(APPROVERS)

    def release(self, disease: str, name: str) -> SignedFile | None:
        """What the approvers signed under this name; None: nothing.

        Raises:
            RepositoryError: python-tuf refuses something.
            DownloadError: it could not be fetched.
            TrustError: it is absurdly large.
        """
        target = self._updater.get_targetinfo(release_path(disease, name))
        if target is None:
            return None
        sha256 = target.hashes.get("sha256")
        if sha256 is None or target.length > MAX_MANIFEST_BYTES:
            raise TrustError("trust.malformed", detail=name)
        return SignedFile(sha256, self._file(target, self._shelf(sha256)), self._signer())

    def _file(self, target: TargetFile, path: Path) -> bytes:
        """A target's bytes, from ``path`` or fetched to it; ``path`` is never half a file."""
        if self._updater.find_cached_target(target, str(path)) is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._folder / f"{_ARRIVING}{secrets.token_hex(4)}"
            try:
                self._updater.download_target(target, str(fresh))
                _to_disk(fresh)
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)
        data = path.read_bytes()
        target.verify_length_and_hashes(data)
        return data

    def _read(self, role: str) -> Metadata[Any]:
        """Metadata that the client has just verified and kept."""
        return Metadata.from_file(str(self._folder / f"{role}.json"))

    def _expires(self, role: str) -> datetime:
        expires: datetime = self._read(role).signed.expires
        return expires

    def _delegated_keys(self, role: str) -> dict[str, Key]:
        targets: Targets = self._read("targets").signed
        delegations = targets.delegations
        roles = {} if delegations is None or delegations.roles is None else delegations.roles
        if delegations is None or role not in roles:
            raise TrustError("trust.malformed", detail=role)
        return {keyid: delegations.keys[keyid] for keyid in roles[role].keyids}

    def _signer(self) -> str:
        """Who approved: the names of the keys that signed, else the starts of their digests."""
        keys = self._delegated_keys(APPROVERS)
        signed = [keyid for keyid in self._read(APPROVERS).signatures if keyid in keys]
        return ", ".join(_name(keyid, keys[keyid]) for keyid in signed)


def _name(keyid: str, key: Key) -> str:
    name = key.unrecognized_fields.get(_NAME_FIELD)
    return name if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable() else keyid[:8]


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
