"""Another network's signed repository, read with python-tuf's own client. Blocking; one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Key, Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from coordinator.errors import CoordinatorError
from coordinator.upstream.record import Seen
from coordinator.upstream.source import AbsentError, Source
from protocols.manifest import MAX_MANIFEST_BYTES
from protocols.trust import MAX_ROLLOUT_BYTES, ROLLOUT_PATH, Rollout, release_path

_CONFIG = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=8,
    root_max_length=128 * 1024,
    timestamp_max_length=8 * 1024,
    snapshot_max_length=64 * 1024,
    targets_max_length=4 * 1024 * 1024,
)
_APPROVERS, _ROLLOUT = "approvers", "rollout"
_ROLES = ("root", "timestamp", "snapshot", "targets", _ROLLOUT)
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ExpiredMetadataError, "upstream.expired"),
    (exceptions.UnsignedMetadataError, "upstream.signature"),
    (exceptions.BadVersionNumberError, "upstream.rollback"),
    (exceptions.LengthOrHashMismatchError, "upstream.tampered"),
    (exceptions.DownloadLengthMismatchError, "upstream.tampered"),
)
_NAME_FIELD = "x-medmesh-name"
_MAX_NAME = 60


@dataclass(frozen=True)
class SignedRelease:
    """A manifest that the other network's approvers signed.

    Attributes:
        data: its bytes.
        approvers: who signed, by name, else by the start of the key's digest.
        metadata: the signed metadata that vouches for it, by role: ``root`` (oldest first), ``targets``, ``approvers``.
    """

    data: bytes
    approvers: tuple[str, ...]
    metadata: dict[str, list[bytes]]

    @property
    def sha256(self) -> str:
        """Digest of the manifest."""
        return hashlib.sha256(self.data).hexdigest()


class _Fetcher(FetcherInterface):
    """Lets the TUF client read through a ``Source``."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.failure: CoordinatorError | None = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._source.get(f"/v1/tuf/{url}")
        except AbsentError as error:
            raise exceptions.DownloadHTTPError(url, 404) from error
        except CoordinatorError as error:
            self.failure = error
            raise exceptions.DownloadError(url) from error


class OtherRepository:
    """The repository at one time."""

    def __init__(self, folder: Path, root: bytes, source: Source) -> None:
        """Args: folder: where verified metadata is kept; root: from which trust starts."""
        self._folder = folder
        self._root = root
        self._fetcher = _Fetcher(source)
        self._updater: Updater | None = None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One reader at a time, over processes: the kept metadata is a state."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def refresh(self) -> Seen:
        """Verify the newest state and read the rollout document.

        Raises:
            CoordinatorError: ``upstream.*``; nothing of it is used.
            ProtocolError: ``rollout.malformed``.
        """
        with self._refusing():
            self._updater = Updater(
                metadata_dir=str(self._folder),
                metadata_base_url="metadata/",
                target_base_url="targets/",
                fetcher=self._fetcher,
                config=_CONFIG,
                bootstrap=self._root,
            )
            self._updater.refresh()
            document = self._target(self._updater, ROLLOUT_PATH, MAX_ROLLOUT_BYTES)
            if document is None:
                raise CoordinatorError("upstream.refused", detail=ROLLOUT_PATH)
            return Seen(
                document,
                Rollout.from_bytes(document),
                frozenset(self._keys(_ROLLOUT)),
                self._read("timestamp").signed.expires,
                {role: self._read(role).signed.expires for role in _ROLES},
            )

    def release(self, disease: str, name: str, floor: datetime) -> SignedRelease:
        """What the approvers signed under this name; ``refresh`` has been called.

        Raises:
            CoordinatorError: ``upstream.not_approved`` or as ``refresh``.
        """
        assert self._updater is not None
        with self._refusing():
            data = self._target(self._updater, release_path(disease, name), MAX_MANIFEST_BYTES)
            if data is None:
                raise CoordinatorError("upstream.not_approved", release=name)
            if self._read(_APPROVERS).signed.expires <= floor:
                raise CoordinatorError("upstream.expired", detail=_APPROVERS)
            keys = self._keys(_APPROVERS)
            signed = [keyid for keyid in self._read(_APPROVERS).signatures if keyid in keys]
            chain = sorted((self._folder / "root_history").glob("*.root.json"), key=_version)
            metadata = {
                "root": [p.read_bytes() for p in chain],
                "targets": [(self._folder / "targets.json").read_bytes()],
                _APPROVERS: [(self._folder / f"{_APPROVERS}.json").read_bytes()],
            }
            return SignedRelease(data, tuple(_name(k, keys[k]) for k in signed), metadata)

    def _target(self, updater: Updater, path: str, most: int) -> bytes | None:
        target = updater.get_targetinfo(path)
        if target is None:
            return None
        if target.length > most:
            raise CoordinatorError("upstream.refused", detail=path)
        kept = self._folder / "target"
        try:
            return Path(updater.download_target(target, str(kept))).read_bytes()
        finally:
            kept.unlink(missing_ok=True)

    def _read(self, role: str) -> Metadata[Any]:
        return Metadata.from_file(str(self._folder / f"{role}.json"))

    def _keys(self, role: str) -> dict[str, Key]:
        targets: Targets = self._read("targets").signed
        delegations = targets.delegations
        roles = {} if delegations is None or delegations.roles is None else delegations.roles
        if delegations is None or role not in roles:
            raise CoordinatorError("upstream.refused", detail=role)
        return {keyid: delegations.keys[keyid] for keyid in roles[role].keyids}

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.RepositoryError, exceptions.DownloadLengthMismatchError) as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), "upstream.refused")
            raise CoordinatorError(code, detail=_words(error)) from error
        except exceptions.DownloadError as error:
            if self._fetcher.failure is not None:
                raise self._fetcher.failure from error
            raise CoordinatorError("upstream.absent", path=_words(error)) from error


def _version(path: Path) -> int:
    return int(path.name.split(".")[0])


def _name(keyid: str, key: Key) -> str:
    name = key.unrecognized_fields.get(_NAME_FIELD)
    return name if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable() else keyid[:8]


def _words(error: Exception) -> str:
    words = "".join(c if c.isprintable() else " " for c in str(error))
    return " ".join(words.split())[:120]
