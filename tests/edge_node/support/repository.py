"""A TUF repository in memory with every key at hand: honest until a test takes one of them and lies."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
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

from protocols.trust import ROLLOUT_PATH, TIMESTAMP_DAYS, release_path

ROLES = ("targets", "approvers", "rollout")


def new_key(name: str = "") -> CryptoSigner:
    """A key, with its holder's name where there is one."""
    signer = CryptoSigner.generate_ed25519()
    if name:
        signer.public_key.unrecognized_fields["x-medmesh-name"] = name
    return signer


class Repository:
    """``files`` is what is served below ``/v1/tuf/``. Changing methods take effect with ``publish``."""

    def __init__(self, threshold: int = 1) -> None:
        self.root_key, self.targets_key, self.online = new_key(), new_key(), new_key()
        self.approvers = [new_key("Dr Li"), new_key("Dr Wang")]
        self.files: dict[str, bytes] = {}
        far = self.in_days(365)
        self.root = Root(expires=far, consistent_snapshot=True)
        self.root.add_key(self.root_key.public_key, "root")
        self.root.add_key(self.targets_key.public_key, "targets")
        for role in ("timestamp", "snapshot"):
            self.root.add_key(self.online.public_key, role)
        keys = [*(a.public_key for a in self.approvers), self.online.public_key]
        approvers = [a.public_key.keyid for a in self.approvers]
        self.delegated = {
            "approvers": DelegatedRole("approvers", approvers, threshold, True, ["releases/*/*"]),
            "rollout": DelegatedRole("rollout", [self.online.public_key.keyid], 1, True, ["rollout/*"]),
        }
        self.signed: dict[str, Targets] = {role: Targets(expires=far) for role in ROLES}
        self.signed["targets"].delegations = Delegations({k.keyid: k for k in keys}, self.delegated)
        self.snapshot = Snapshot(expires=far, meta={})
        self.timestamp = Timestamp(expires=self.in_days(TIMESTAMP_DAYS))
        for signed in (*self.signed.values(), self.snapshot, self.timestamp):
            signed.version = 0
        self.put_root([self.root_key])
        self.put("targets", [self.targets_key])
        self.put("approvers", self.approvers)
        self.put("rollout", [self.online])

    def in_days(self, days: float) -> datetime:
        return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)

    @property
    def first_root(self) -> bytes:
        return self.files["metadata/1.root.json"]

    def copy(self) -> dict[str, bytes]:
        """Everything as served now, for replaying it later."""
        return dict(self.files)

    def approve(self, disease: str, release: str, data: bytes, signers: Sequence[CryptoSigner] | None = None) -> None:
        """Sign a release as the approvers do; fewer or other ``signers`` are an attack."""
        self.add("approvers", release_path(disease, release), data)
        self.put("approvers", self.approvers if signers is None else signers)

    def set_rollout(self, data: bytes) -> None:
        self.add("rollout", ROLLOUT_PATH, data)
        self.put("rollout", [self.online])

    def add(self, role: str, path: str, data: bytes) -> None:
        """Name ``data`` as a target of ``role``, and serve it."""
        target = TargetFile.from_data(path, data, ["sha256"])
        self.signed[role].targets[path] = target
        folder, _, name = path.rpartition("/")
        self.files[f"targets/{folder}/{target.hashes['sha256']}.{name}"] = data

    def put(self, role: str, signers: Sequence[CryptoSigner]) -> None:
        """Sign the next version of ``targets``, ``approvers`` or ``rollout``."""
        self.signed[role].version += 1
        self.files[f"metadata/{self.signed[role].version}.{role}.json"] = sign(self.signed[role], signers)

    def put_root(self, signers: Sequence[CryptoSigner]) -> None:
        self.files[f"metadata/{self.root.version}.root.json"] = sign(self.root, signers)

    def publish(self) -> None:
        """Bind the present versions together with the online key."""
        self.snapshot.version += 1
        self.snapshot.meta = {f"{role}.json": MetaFile(self.signed[role].version) for role in ROLES}
        self.files[f"metadata/{self.snapshot.version}.snapshot.json"] = sign(self.snapshot, [self.online])
        self.renew()

    def renew(self) -> None:
        """Sign a fresh timestamp over the present snapshot."""
        self.timestamp.version += 1
        self.timestamp.expires = self.in_days(TIMESTAMP_DAYS)
        self.put_timestamp()

    def put_timestamp(self) -> None:
        self.timestamp.snapshot_meta = MetaFile(self.snapshot.version)
        self.files["metadata/timestamp.json"] = sign(self.timestamp, [self.online])

    def replace_online_key(self) -> None:
        """Recovery: the offline keys put a new online key in the place of the stolen one; its versions start anew."""
        former, self.online = self.online, new_key()
        for role in ("timestamp", "snapshot"):
            self.root.revoke_key(former.public_key.keyid, role)
            self.root.add_key(self.online.public_key, role)
        self.root.version += 1
        self.put_root([self.root_key])
        targets = self.signed["targets"]
        targets.revoke_key(former.public_key.keyid, "rollout")
        targets.add_key(self.online.public_key, "rollout")
        self.put("targets", [self.targets_key])
        self.snapshot.version = self.timestamp.version = 0


def sign(signed: Any, signers: Sequence[CryptoSigner]) -> bytes:
    """The metadata file with these signatures, and no others."""
    metadata = Metadata(copy.deepcopy(signed))
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()
