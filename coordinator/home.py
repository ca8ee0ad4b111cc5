"""Where things lie in the coordinator's home."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Paths below ``HOME/coordinator``; ``root`` is HOME itself, which the knowledge base shares."""

    root: Path

    @property
    def base(self) -> Path:
        """The coordinator's own folder."""
        return self.root / "coordinator"

    @property
    def config(self) -> Path:
        """Settings."""
        return self.base / "config.toml"

    @property
    def database(self) -> Path:
        """The default SQLite file."""
        return self.base / "coordinator.sqlite"

    @property
    def images(self) -> Path:
        """Training images by digest. Never served."""
        return self.base / "images"

    @property
    def originals(self) -> Path:
        """De-identified originals by digest, where an uploader asked to keep them. Never served."""
        return self.base / "originals"

    @property
    def quarantine(self) -> Path:
        """Images, and their originals, that wait for a person's look. Never served, never trained on."""
        return self.base / "quarantine"

    @property
    def artifacts(self) -> Path:
        """Released files and candidates by digest. Served to anyone who asks by digest."""
        return self.base / "artifacts"

    @property
    def features(self) -> Path:
        """Cached features."""
        return self.base / "features"

    @property
    def maps(self) -> Path:
        """Cached maps of training images. Never served."""
        return self.base / "maps"

    @property
    def trainings(self) -> Path:
        """Finished parts of trainings that are under way, and checkpoints. Never served."""
        return self.base / "trainings"

    @property
    def out_of_fold(self) -> Path:
        """What cross-validation answered about training images, by digest. Never served."""
        return self.base / "out-of-fold"

    @property
    def weights(self) -> Path:
        """Float weights of spatial heads, by digest: where a federated run starts. Never served."""
        return self.base / "weights"

    @property
    def federation(self) -> Path:
        """Checkpoints of federated runs. Never served."""
        return self.base / "federation"

    @property
    def backbones(self) -> Path:
        """Fetched weights and converted trunks."""
        return self.base / "backbones"

    @property
    def vetting(self) -> Path:
        """Models that people brought, while they are vetted. Mode 0700, never served, empty otherwise."""
        return self.base / "vetting"

    @property
    def keys(self) -> Path:
        """Private keys, mode 0700."""
        return self.base / "keys"

    @property
    def repository(self) -> Path:
        """The signed TUF repository. Served to anyone."""
        return self.base / "repository"

    @property
    def serving(self) -> Path:
        """Addresses of the running server, for ``node invite``."""
        return self.base / "serving.json"

    @property
    def uploads(self) -> Path:
        """What is being uploaded, and waits for its job. Never served."""
        return self.base / "uploads"

    @property
    def audit_head(self) -> Path:
        """How long the audit trail is, signed."""
        return self.base / "audit-head.json"

    @property
    def upstreams(self) -> Path:
        """Of each other network its verified metadata, and what arrives of its files. Never served."""
        return self.base / "upstream"
