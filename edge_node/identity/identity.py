"""The node's identity: its certificate, and the one coordinator whose CA it pinned when it joined."""

from __future__ import annotations

import hashlib
import json
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_node.errors import EdgeError, NotEnrolledError
from edge_node.files import write_atomic
from edge_node.identity.anchor import Anchor

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
        groups: the groups of sites that this node belongs to.
        root_sha256: digest of the TUF root metadata from which trust starts.
        least_serial: of the rollout document when the invite was made.
        joined: when the coordinator issued the first certificate, by its own clock.
    """

    node: str
    name: str
    coordinator: str
    urls: tuple[str, ...]
    node_url: str
    ca_pem: str
    credentials: Path
    groups: tuple[str, ...]
    root_sha256: str
    least_serial: int
    joined: datetime

    @property
    def root_path(self) -> Path:
        """The TUF root metadata from which trust starts."""
        return self.credentials.parent / f"root-{self.root_sha256[:16]}.json"

    def root(self) -> bytes:
        """The TUF root metadata from which trust starts.

        Raises:
            EdgeError: ``edge.identity_damaged``.
        """
        try:
            data = self.root_path.read_bytes()
        except FileNotFoundError as error:
            raise EdgeError("edge.identity_damaged", path=self.root_path) from error
        if hashlib.sha256(data).hexdigest() != self.root_sha256:
            raise EdgeError("edge.identity_damaged", path=self.root_path)
        return data

    @property
    def anchor(self) -> Anchor:
        """Where trust starts."""
        return Anchor(self.ca_sha256, self.joined, self.least_serial, self.node, frozenset(self.groups))

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
            groups=tuple(document["groups"]),
            root_sha256=document["root_sha256"],
            least_serial=document["least_serial"],
            joined=datetime.fromisoformat(document["joined"]),
        )
        ca_fingerprint(identity.ca_pem)
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError("edge.identity_damaged", path=folder / _FILE) from error
    if not identity.credentials.is_file():
        raise EdgeError("edge.identity_damaged", path=identity.credentials)
    return identity


def save_identity(identity: NodeIdentity, credentials_pem: bytes, root: bytes) -> None:
    """Write key, certificate and root, then switch to them; until that last step the former identity is in force."""
    folder = identity.credentials.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(identity.credentials, credentials_pem, mode=0o600)
    write_atomic(identity.root_path, root)
    document: dict[str, Any] = {
        "node": identity.node,
        "name": identity.name,
        "coordinator": identity.coordinator,
        "urls": list(identity.urls),
        "node_url": identity.node_url,
        "ca": identity.ca_pem,
        "credentials": identity.credentials.name,
        "groups": list(identity.groups),
        "root_sha256": identity.root_sha256,
        "least_serial": identity.least_serial,
        "joined": identity.joined.isoformat(),
    }
    write_atomic(folder / _FILE, json.dumps(document, ensure_ascii=False, indent=1).encode(), mode=0o600)
    for old in (*folder.glob("node-*.pem"), *folder.glob("root-*.json")):
        if old not in (identity.credentials, identity.root_path):
            old.unlink(missing_ok=True)
