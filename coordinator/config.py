"""The coordinator's settings, read once from ``config.toml`` in its home."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tomli_w

from coordinator.errors import CoordinatorError
from coordinator.intake.limits import Limits
from coordinator.store.blobs import write_atomically


@dataclass(frozen=True)
class UploadLimits:
    """What strangers may put on the disk, and how much work they may queue. Bytes count while an upload is not processed."""

    largest_bytes: int = 20 * 1024**3
    owner_bytes: int = 40 * 1024**3  # of all tokens of one owner
    all_bytes: int = 100 * 1024**3
    owner_open: int = 4  # uploads that are not processed yet
    all_open: int = 64
    owner_jobs: int = 16  # waiting jobs
    owner_streams: int = 4  # parts being received at once
    spare_bytes: int = 1024**3  # of the disk, left alone
    abandoned_h: int = 7 * 24  # without a new part
    jobs_at_once: int = 1
    attempts: int = 3  # of a job whose process ends without a result


@dataclass(frozen=True)
class WebLimits:
    """How many requests one sender may make; 0 a second: as many as they like. A site behind one address is one sender."""

    address_per_s: int = 200
    address_burst: int = 2000
    principal_per_s: int = 100  # one token, or one person
    principal_burst: int = 500


@dataclass(frozen=True)
class UpstreamConfig:
    """What happens of itself when another network revokes a release that was taken over from it."""

    on_revocation: str = (
        "pause"  # pause: nodes keep what they have, and a person decides | withdraw: for good | mark: nothing
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: none of the three.
        """
        if self.on_revocation not in ("pause", "withdraw", "mark"):
            raise ValueError("upstream.on_revocation is pause, withdraw or mark")


@dataclass(frozen=True)
class Config:
    """What ``init`` wrote and a person may edit."""

    name: str  # shown to nodes
    approvals: int  # people who must approve a release
    database: str = ""  # SQLAlchemy async URL; empty: SQLite in the home
    intake: Limits = field(default_factory=Limits)  # what an import of training images may ask for
    backbone: str = ""  # of queued trainings; empty: the one that ``train`` takes
    uploads: UploadLimits = field(default_factory=UploadLimits)
    maps_mb: int = 8000  # of the disk, for cached maps of training images (450 kB an image and view)
    web: WebLimits = field(default_factory=WebLimits)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)

    def save(self, path: Path) -> None:
        """Write the file whole."""
        write_atomically(path, tomli_w.dumps(asdict(self)).encode("utf-8"))

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the file.

        Raises:
            CoordinatorError: ``coordinator.not_initialised`` or ``coordinator.bad_config``.
        """
        try:
            settings = tomllib.loads(path.read_text("utf-8"))
            uploads = UploadLimits(**settings.pop("uploads", {}))
            web = WebLimits(**settings.pop("web", {}))
            limits = [*asdict(uploads).values(), *asdict(web).values(), settings.get("maps_mb", 0)]
            if any(type(value) is not int or value < 0 for value in limits):
                raise TypeError("limits are whole numbers")
            intake, upstream = Limits(**settings.get("intake", {})), UpstreamConfig(**settings.get("upstream", {}))
            return cls(**settings | {"intake": intake, "uploads": uploads, "web": web, "upstream": upstream})
        except FileNotFoundError as error:
            raise CoordinatorError("coordinator.not_initialised", home=path.parent.parent) from error
        except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
            raise CoordinatorError("coordinator.bad_config", path=path) from error
