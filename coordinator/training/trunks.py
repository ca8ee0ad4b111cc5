"""Trunks: each backbone id is converted once, and the same file serves every disease and version."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.home import Home
from coordinator.store.blobs import FolderBlobs, write_atomically
from coordinator.training import backbones, convert
from coordinator.training.features import Trunk
from protocols.manifest import Backbone


@dataclass(frozen=True)
class ReadyTrunk:
    """A converted trunk and what a manifest says about it."""

    trunk: Trunk
    backbone: Backbone
    size_bytes: int


class Trunks:
    """Converted trunks in the coordinator's home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._artifacts = FolderBlobs(home.artifacts)

    def ready(self, name: str) -> ReadyTrunk | None:
        """The trunk of a backbone id if it was converted before."""
        backbone = backbones.parse(name)
        try:
            record = json.loads(self._record(backbone).read_text("utf-8"))
        except FileNotFoundError:
            return None
        path = self._artifacts.path(record["trunk"])
        if not path.is_file():
            return None
        return ReadyTrunk(
            Trunk(path, record["trunk"], backbone.spec, convert.TAPS),
            Backbone(backbone.name, record["weights"], backbone.licence, backbone.source),
            path.stat().st_size,
        )

    def make(self, name: str) -> ReadyTrunk:
        """The trunk of a backbone id, fetched and converted now if need be.

        Raises:
            CoordinatorError: ``backbone.…`` or ``train.conversion_failed``.
        """
        if found := self.ready(name):
            return found
        backbone = backbones.parse(name)
        self._home.backbones.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._home.backbones) as folder:
            target = Path(folder) / "trunk.tflite"
            weights = convert.convert_trunk(name, self._home.backbones, target)
            sha256 = self._artifacts.put(target.read_bytes())
        write_atomically(self._record(backbone), json.dumps({"trunk": sha256, "weights": weights}).encode())
        made = self.ready(name)
        assert made is not None
        return made

    def list(self) -> list[dict[str, Any]]:
        """The backbone ids that need no argument, and whether they are here."""
        rows = []
        for name in ("nsfwjs-4.4.0", "imagenet"):
            found, parsed = self.ready(name), backbones.parse(name)
            rows.append(
                {
                    "backbone": name,
                    "licence": parsed.licence,
                    "source": parsed.source,
                    "converted": found is not None,
                    "trunk": found.trunk.sha256 if found else None,
                    "bytes": found.size_bytes if found else None,
                }
            )
        return rows

    def _record(self, backbone: backbones.BackboneId) -> Path:
        return self._home.backbones / f"{backbone.name.replace(':', '-')}.json"
