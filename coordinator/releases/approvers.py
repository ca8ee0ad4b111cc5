"""Approvers' keys: an approval is an Ed25519 signature over the manifest's bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.blobs import write_atomically

_PUBLIC = "approvers.json"


def create(home: Home, count: int) -> None:
    """Make ``count`` approvers' keys in the home; their owners take the files with them."""
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    for number, key in enumerate(keys, start=1):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomically(home.keys / f"approver-{number}.pem", pem, mode=0o600)
    public = {key_id(k.public_key()): k.public_key().public_bytes_raw().hex() for k in keys}
    write_atomically(home.keys / _PUBLIC, json.dumps(public).encode())


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def known(home: Home) -> dict[str, Ed25519PublicKey]:
    """The approvers' public keys by id."""
    rows = json.loads((home.keys / _PUBLIC).read_text("utf-8"))
    return {k: Ed25519PublicKey.from_public_bytes(bytes.fromhex(v)) for k, v in rows.items()}


def load(path: Path, home: Home) -> Ed25519PrivateKey:
    """An approver's private key.

    Raises:
        CoordinatorError: ``file.not_found`` or ``release.not_an_approver``.
    """
    if not path.is_file():
        raise CoordinatorError("file.not_found", path=path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CoordinatorError("release.not_an_approver", path=path) from error
    if not isinstance(key, Ed25519PrivateKey) or key_id(key.public_key()) not in known(home):
        raise CoordinatorError("release.not_an_approver", path=path)
    return key


def local_keys(home: Home) -> list[Path]:
    """Approvers' private keys that still lie in the home."""
    return sorted(home.keys.glob("approver-*.pem"))


def valid(public: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    """Whether a recorded approval still verifies."""
    try:
        public.verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True
