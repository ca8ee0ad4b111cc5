"""Signing keys: Ed25519 in PEM files. Root keys belong offline, approvers' keys to their owners, the online key here."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.blobs import write_atomically

_PREFIX = "medmesh-key1."


def create(path: Path) -> CryptoSigner:
    """Make a key and write it with mode 0600.

    Raises:
        CoordinatorError: ``key.exists``; a key is never overwritten.
    """
    if path.exists():
        raise CoordinatorError("key.exists", path=path)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomically(path, pem, mode=0o600)
    return CryptoSigner(key)


def load(path: Path) -> CryptoSigner:
    """Read a key.

    Raises:
        CoordinatorError: ``file.not_found`` or ``key.unreadable``.
    """
    if not path.is_file():
        raise CoordinatorError("file.not_found", path=path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CoordinatorError("key.unreadable", path=path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CoordinatorError("key.unreadable", path=path)
    return CryptoSigner(key)


def public_line(key: SSlibKey) -> str:
    """One line of text that tells others the public key."""
    raw = bytes.fromhex(key.keyval["public"])
    return _PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_line(line: str) -> SSlibKey:
    """Read a public key from its line.

    Raises:
        CoordinatorError: ``key.bad_line``.
    """
    body = line.strip()
    try:
        if not body.startswith(_PREFIX):
            raise ValueError
        raw = base64.urlsafe_b64decode(body.removeprefix(_PREFIX) + "=")
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))
    except ValueError as error:
        raise CoordinatorError("key.bad_line") from error


def root_paths(home: Home) -> list[Path]:
    """The root keys that still lie in the home."""
    return sorted(home.keys.glob("root-*.pem"))


def approver_paths(home: Home) -> list[Path]:
    """The approvers' keys that lie in the home: one after ``init --approvals 1``, none otherwise."""
    return sorted(home.keys.glob("approver-*.pem"))


def approver_names(home: Home) -> dict[str, str]:
    """Approvers' names by key id; the keys themselves stand in signed metadata."""
    path = home.keys / "approvers.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def online(home: Home) -> CryptoSigner:
    """The online key."""
    return load(home.keys / "online.pem")
