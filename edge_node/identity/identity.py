"""The node's identity: its certificate, and the one coordinator whose CA it pinned when it joined."""

from __future__ import annotations

import hashlib
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_node.errors import EdgeError, NotEnrolledError
from edge_node.files import write_atomic

_FILE = "identity.json"


@dataclass(frozen=True)
class NodeIdentity:
    """An enrolled node.

    Attributes:
        node: the id that the coordinator gave.
        name: the name that the node asked for.
        coordinator: the coordinator's name, for people.
        urls: where the coordinator's HTTPS port may be, tried in turn.
        node_url: the websocket gateway, ``wss://``.
        ca_pem: the pinned certificate authority; nothing else is ever trusted.
        credentials: PEM file of the node's private key and certificate, mode 0600.
    """

    node: str
    name: str
    coordinator: str
    urls: tuple[str, ...]
    node_url: str
    ca_pem: str
    credentials: Path

    @property
    def ca_sha256(self) -> str:
        """SHA-256 of the pinned CA certificate's DER form."""
        return ca_fingerprint(self.ca_pem)


def ca_fingerprint(pem: str) -> str:
    """SHA-256 of the DER form of the one certificate in ``pem``.

    Raises:
        ValueError: it is not one certificate.
    """
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()


def load_identity(folder: Path) -> NodeIdentity:
    """Read the identity.

    Raises:
        NotEnrolledError: the node has not joined a coordinator.
        EdgeError: ``edge.identity_damaged``.
    """
    try:
        data = (folder / _FILE).read_bytes()
    except FileNotFoundError as error:
        raise NotEnrolledError("edge.not_enrolled") from error
    try:
        document = json.loads(data)
        identity = NodeIdentity(
            node=document["node"],
            name=document["name"],
            coordinator=document["coordinator"],
            urls=tuple(document["urls"]),
            node_url=document["node_url"],
            ca_pem=document["ca"],
            credentials=folder / document["credentials"],
        )
        ca_fingerprint(identity.ca_pem)
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError("edge.identity_damaged", path=folder / _FILE) from error
    if not identity.credentials.is_file():
        raise EdgeError("edge.identity_damaged", path=identity.credentials)
    return identity


def save_identity(identity: NodeIdentity, credentials_pem: bytes) -> None:
    """Write key and certificate, then switch to them; until that last step the former identity is in force."""
    folder = identity.credentials.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(identity.credentials, credentials_pem, mode=0o600)
    document: dict[str, Any] = {
        "node": identity.node,
        "name": identity.name,
        "coordinator": identity.coordinator,
        "urls": list(identity.urls),
        "node_url": identity.node_url,
        "ca": identity.ca_pem,
        "credentials": identity.credentials.name,
    }
    write_atomic(folder / _FILE, json.dumps(document, ensure_ascii=False, indent=1).encode(), mode=0o600)
    for old in folder.glob("node-*.pem"):
        if old != identity.credentials:
            old.unlink(missing_ok=True)
