"""The signed repository on disk (TUF, python-tuf): who may sign what, and publishing so that a crash leaves old or new.

Files of a new version are written beside the old ones; replacing ``timestamp.json`` at the end makes them the current ones.
"""

from __future__ import annotations

import copy
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from coordinator.errors import CoordinatorError
from coordinator.store.blobs import write_atomically
from protocols.audit import FIELD, Head
from protocols.trust import ROLLOUT_PATH, TIMESTAMP_DAYS, Rollout

APPROVERS, ROLLOUT = "approvers", "rollout"
_YEAR = timedelta(days=365)
_ROOT_LIFE = timedelta(days=3650)
Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)


def _soon(now: datetime, life: timedelta) -> datetime:
    return (now + life).replace(microsecond=0)


class Repository:
    """Metadata and targets below one folder."""

    def __init__(self, folder: Path, head: Callable[[], Head | None] = lambda: None) -> None:
        """Args: the folder; what gives the audit trail's head, which every timestamp carries to the nodes."""
        self._head = head
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self._lock = folder / "lock"

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One publisher at a time, over processes."""
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def create(
        self,
        roots: list[CryptoSigner],
        online: CryptoSigner,
        approvers: list[Key],
        threshold: int,
        rollout: Rollout,
        now: datetime,
    ) -> None:
        """Make the first version of every role. All ``roots`` must sign root and targets from now on."""
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        root = Root(expires=_soon(now, _ROOT_LIFE), consistent_snapshot=True)
        for signer in roots:
            for role in ("root", "targets"):
                root.add_key(signer.public_key, role)
        for role in ("root", "targets"):
            root.roles[role].threshold = len(roots)
        for role in ("timestamp", "snapshot"):
            root.add_key(online.public_key, role)
        delegations = Delegations(keys={}, roles={})
        assert delegations.roles is not None
        delegations.roles[APPROVERS] = DelegatedRole(APPROVERS, [], threshold, True, paths=["releases/*/*"])
        delegations.roles[ROLLOUT] = DelegatedRole(ROLLOUT, [], 1, True, paths=["rollout/*"])
        targets = Targets(expires=_soon(now, _YEAR), delegations=delegations)
        for key in approvers:
            targets.add_key(key, APPROVERS)
        targets.add_key(online.public_key, ROLLOUT)
        self._write(_signed(Metadata(root), roots), "root")
        self._write(_signed(Metadata(targets), roots), "targets")
        self._write(Metadata(Targets(expires=_soon(now, _YEAR))), APPROVERS)
        self.publish_rollout(rollout, online, now, first=True)

    # --- reading -------------------------------------------------------------------------------------------------

    def root(self) -> Metadata[Root]:
        """The newest root."""
        versions = [int(p.name.split(".")[0]) for p in self.metadata.glob("*.root.json")]
        return Metadata[Root].from_file(str(self.metadata / f"{max(versions)}.root.json"))

    def root_bytes(self) -> bytes:
        """The newest root as nodes get it."""
        return (self.metadata / f"{self.root().signed.version}.root.json").read_bytes()

    def current(self, role: str) -> Metadata[Targets]:
        """Targets metadata that the current snapshot names: ``targets``, ``approvers`` or ``rollout``."""
        version = self._snapshot().signed.meta[f"{role}.json"].version
        return Metadata[Targets].from_file(str(self.metadata / f"{version}.{role}.json"))

    def timestamp(self) -> Metadata[Timestamp]:
        """The current timestamp."""
        return Metadata[Timestamp].from_file(str(self.metadata / "timestamp.json"))

    def rollout(self) -> Rollout:
        """The current rollout document."""
        target = self.current(ROLLOUT).signed.targets[ROLLOUT_PATH]
        return Rollout.from_bytes(self.target_path(ROLLOUT_PATH, target).read_bytes())

    def target_path(self, path: str, target: TargetFile) -> Path:
        """Where a target's bytes lie: hash-prefixed, since the repository has consistent snapshots."""
        folder, _, name = path.rpartition("/")
        return self.targets / folder / f"{target.hashes['sha256']}.{name}"

    def threshold(self) -> int:
        """Approvers that a release needs."""
        return self.role(APPROVERS).threshold

    def approver_keys(self) -> dict[str, Key]:
        """The approvers' public keys by id."""
        delegations = self.current("targets").signed.delegations
        assert delegations is not None
        return {k: delegations.keys[k] for k in self.role(APPROVERS).keyids}

    def role(self, name: str) -> DelegatedRole:
        """A delegated role as the targets metadata says."""
        delegations = self.current("targets").signed.delegations
        assert delegations is not None and delegations.roles is not None
        return delegations.roles[name]

    def _snapshot(self) -> Metadata[Snapshot]:
        version = self.timestamp().signed.snapshot_meta.version
        return Metadata[Snapshot].from_file(str(self.metadata / f"{version}.snapshot.json"))

    # --- approvals -----------------------------------------------------------------------------------------------

    def draft(self, path: str | None, data: bytes, expires: datetime) -> Metadata[Targets]:
        """The approvers metadata as it would be with one more release (``path`` None: only a new expiry), unsigned.

        It follows from the current version alone, so that every approver signs the same bytes; when another release was
        published in between, it is a new draft and earlier signatures no longer count.
        """
        signed = copy.deepcopy(self.current(APPROVERS).signed)
        signed.version += 1
        signed.expires = expires.replace(microsecond=0)
        if path is not None:
            signed.targets[path] = TargetFile.from_data(path, data, ["sha256"])
        return Metadata(signed)

    def publish_approved(
        self, draft: Metadata[Targets], path: str | None, data: bytes, online: CryptoSigner, now: datetime
    ) -> None:
        """Publish a draft that carries enough signatures.

        Raises:
            CoordinatorError: ``release.not_enough_signatures``; published metadata below the threshold would lock every
                node out.
        """
        try:
            self.current("targets").verify_delegate(APPROVERS, draft)
        except RepositoryError as error:
            raise CoordinatorError("release.not_enough_signatures") from error
        if path is not None:
            self._put_target(path, draft.signed.targets[path], data)
        self._write(draft, APPROVERS)
        self._point(online, now, {APPROVERS: draft.signed.version})

    # --- the online key ------------------------------------------------------------------------------------------

    def publish_rollout(self, rollout: Rollout, online: CryptoSigner, now: datetime, *, first: bool = False) -> None:
        """Publish a rollout document; takes effect at the nodes' next poll."""
        data = rollout.to_bytes()
        version = 1 if first else self.current(ROLLOUT).signed.version + 1
        signed = Targets(version=version, expires=_soon(now, _YEAR))
        signed.targets[ROLLOUT_PATH] = TargetFile.from_data(ROLLOUT_PATH, data, ["sha256"])
        self._put_target(ROLLOUT_PATH, signed.targets[ROLLOUT_PATH], data)
        self._write(_signed(Metadata(signed), [online]), ROLLOUT)
        self._point(online, now, {ROLLOUT: version} if not first else {"targets": 1, APPROVERS: 1, ROLLOUT: 1})

    def keep_fresh(self, online: CryptoSigner, now: datetime) -> bool:
        """Sign a new timestamp once a day has passed, or the audit trail has grown; returns whether it did."""
        current, head = self.timestamp(), self._head()
        told = head is None or head.document() == current.signed.unrecognized_fields.get(FIELD)
        if told and current.signed.expires - now > timedelta(days=TIMESTAMP_DAYS - 1):
            return False
        self._stamp(online, now, current.signed.snapshot_meta.version)
        return True

    # --- changing who may sign -----------------------------------------------------------------------------------

    def change_approvers(
        self,
        keys: list[Key],
        roots: list[CryptoSigner],
        signers: list[CryptoSigner],
        online: CryptoSigner,
        now: datetime,
    ) -> None:
        """Replace the set of approvers; the approvers metadata is signed again by ``signers`` and earlier signers that stay.

        Raises:
            CoordinatorError: ``release.not_enough_signatures`` or ``key.root_needed``.
        """
        targets = self.current("targets")
        delegations = targets.signed.delegations
        assert delegations is not None
        for keyid in list(self.role(APPROVERS).keyids):
            targets.signed.revoke_key(keyid, APPROVERS)
        for key in keys:
            targets.signed.add_key(key, APPROVERS)
        self._next_targets(targets, roots, now)
        approvers = self.current(APPROVERS)
        for signer in signers:
            approvers.sign(signer, append=True)
        if approvers.signed.targets:
            try:
                targets.verify_delegate(APPROVERS, approvers)
            except RepositoryError as error:
                raise CoordinatorError("release.not_enough_signatures") from error
        self._write(targets, "targets")
        self._write(approvers, APPROVERS)
        self._point(online, now, {"targets": targets.signed.version})

    def rotate_online(self, roots: list[CryptoSigner], new: CryptoSigner, rollout: Rollout, now: datetime) -> None:
        """Replace the online key everywhere; what a thief signed with the old one, however high, is worth nothing then.

        Raises:
            CoordinatorError: ``key.root_needed``.
        """
        root = self.root()
        for role in ("timestamp", "snapshot"):
            for keyid in list(root.signed.roles[role].keyids):
                root.signed.revoke_key(keyid, role)
            root.signed.add_key(new.public_key, role)
        targets = self.current("targets")
        for keyid in list(self.role(ROLLOUT).keyids):
            targets.signed.revoke_key(keyid, ROLLOUT)
        targets.signed.add_key(new.public_key, ROLLOUT)
        self._next_targets(targets, roots, now)
        self._next_root(root, roots, roots, now)
        self._write(targets, "targets")
        self._point(new, now, {"targets": targets.signed.version})
        self.publish_rollout(rollout, new, now)

    def rotate_root(
        self, old: list[CryptoSigner], new: list[CryptoSigner], online: CryptoSigner, now: datetime
    ) -> None:
        """Replace the root keys; old and new sign the change.

        Raises:
            CoordinatorError: ``key.root_needed``.
        """
        root = self.root()
        for role in ("root", "targets"):
            for keyid in list(root.signed.roles[role].keyids):
                root.signed.revoke_key(keyid, role)
            for signer in new:
                root.signed.add_key(signer.public_key, role)
            root.signed.roles[role].threshold = len(new)
        targets = self.current("targets")
        targets.signatures.clear()
        targets.signed.version += 1
        targets.signed.expires = _soon(now, _YEAR)
        self._next_root(root, old, new, now)
        self._write(_signed(targets, new), "targets")
        self._point(online, now, {"targets": targets.signed.version})

    def _next_root(self, root: Metadata[Root], old: list[CryptoSigner], new: list[CryptoSigner], now: datetime) -> None:
        previous = self.root()
        root.signed.version += 1
        root.signed.expires = _soon(now, _ROOT_LIFE)
        root.signatures.clear()
        _signed(root, [*old, *new])
        self._verify_root(previous, root)
        self._write(root, "root")

    @staticmethod
    def _verify_root(previous: Metadata[Root], root: Metadata[Root]) -> None:
        try:
            previous.verify_delegate("root", root)
            root.verify_delegate("root", root)
        except RepositoryError as error:
            raise CoordinatorError("key.root_needed", count=previous.signed.roles["root"].threshold) from error

    def _next_targets(self, targets: Metadata[Targets], roots: list[CryptoSigner], now: datetime) -> None:
        targets.signed.version += 1
        targets.signed.expires = _soon(now, _YEAR)
        targets.signatures.clear()
        _signed(targets, roots)
        root = self.root()
        try:
            root.verify_delegate("targets", targets)
        except RepositoryError as error:
            raise CoordinatorError("key.root_needed", count=root.signed.roles["targets"].threshold) from error

    # --- writing -------------------------------------------------------------------------------------------------

    def _put_target(self, path: str, target: TargetFile, data: bytes) -> None:
        file = self.target_path(path, target)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, data)

    def _write(self, metadata: Metadata[Any], role: str) -> None:
        write_atomically(self.metadata / f"{metadata.signed.version}.{role}.json", metadata.to_bytes())

    def _point(self, online: CryptoSigner, now: datetime, versions: dict[str, int]) -> None:
        """Make these versions current: a new snapshot, then the timestamp that names it."""
        if (self.metadata / "timestamp.json").exists():
            signed = self._snapshot().signed
            signed.version += 1
            signed.expires = _soon(now, _YEAR)
        else:
            signed = Snapshot(expires=_soon(now, _YEAR))
        for role, version in versions.items():
            signed.meta[f"{role}.json"] = MetaFile(version)
        self._write(_signed(Metadata(signed), [online]), "snapshot")
        self._stamp(online, now, signed.version)

    def _stamp(self, online: CryptoSigner, now: datetime, snapshot: int) -> None:
        existing = self.metadata / "timestamp.json"
        version = self.timestamp().signed.version + 1 if existing.exists() else 1
        signed = Timestamp(version=version, expires=_soon(now, timedelta(days=TIMESTAMP_DAYS)))
        signed.snapshot_meta = MetaFile(snapshot)
        if (head := self._head()) is not None:
            signed.unrecognized_fields[FIELD] = head.document()
        write_atomically(existing, _signed(Metadata(signed), [online]).to_bytes())


def _signed(metadata: Metadata[Role], signers: list[CryptoSigner]) -> Metadata[Role]:
    """Sign with each key once; returns the same metadata."""
    for signer in {s.public_key.keyid: s for s in signers}.values():
        metadata.sign(signer, append=True)
    return metadata
