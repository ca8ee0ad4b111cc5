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
class Config:
    """What ``init`` wrote and a person may edit."""

    name: str  # shown to nodes
    approvals: int  # people who must approve a release
    database: str = ""  # SQLAlchemy async URL; empty: SQLite in the home
    intake: Limits = field(default_factory=Limits)  # what an import of training images may ask for

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
            found = tomllib.loads(path.read_text("utf-8"))
            return cls(**found | {"intake": Limits(**found.get("intake", {}))})
        except FileNotFoundError as error:
            raise CoordinatorError("coordinator.not_initialised", home=path.parent.parent) from error
        except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
            raise CoordinatorError("coordinator.bad_config", path=path) from error
