"""Where a node keeps what, below ``HOME/edge``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The node's files. ``root`` is made on first writing, never by looking."""

    root: Path

    @classmethod
    def of_home(cls, home: Path) -> Paths:
        """The node's part of a MedMesh home."""
        return cls(home / "edge")

    @property
    def config(self) -> Path:
        """Settings, TOML."""
        return self.root / "config.toml"

    @property
    def identity(self) -> Path:
        """Folder of the pinned coordinator and the node's key."""
        return self.root / "identity"

    @property
    def trust(self) -> Path:
        """Folder of verified TUF metadata, by coordinator."""
        return self.root / "trust"

    @property
    def trust_lock(self) -> Path:
        """Held by the one process that verifies the coordinator's repository."""
        return self.root / "trust.lock"

    @property
    def cache(self) -> Path:
        """Folder of artifacts and of their index."""
        return self.root / "cache"

    @property
    def knowledge(self) -> Path:
        """The replica of the disease knowledge base."""
        return self.root / "kb.sqlite"

    @property
    def outbox(self) -> Path:
        """The history of results, sealed."""
        return self.root / "outbox" / "history.sqlite"

    @property
    def outbox_key(self) -> Path:
        """Its key, on machines without a keystore."""
        return self.root / "outbox" / "history.key"

    @property
    def outbox_lock(self) -> Path:
        """Held by the one process that makes the key."""
        return self.root / "outbox" / "lock"

    @property
    def mail(self) -> Path:
        """Parcels and receipts that travel by hand."""
        return self.root / "mail.sqlite"

    @property
    def federation(self) -> Path:
        """Which images this site brings to federated runs, their features, and its consents."""
        return self.root / "federation.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the one process that changes the cache."""
        return self.root / "lock"

    @property
    def wan_bill(self) -> Path:
        """Until when the WAN's cap is kept to, for all processes."""
        return self.root / "wan.paid"

    @property
    def lan_bill(self) -> Path:
        """The same for the LAN."""
        return self.root / "lan.paid"
