"""Trunks: each backbone id is converted once for training, and the same file serves every disease and version.

Before a release the trunk is converted a second time, once for each trunk: what does not come out the same cannot be checked
by anybody. Training does not wait for that (half a minute on two cores).
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.blobs import FolderBlobs, write_atomically
from coordinator.training import backbones, convert
from coordinator.training.features import Trunk
from protocols.manifest import Backbone

_FILE = re.compile(r"file:[0-9a-f]{16}")  # how manifests name a weights file: by its digest


@dataclass(frozen=True)
class ReadyTrunk:
    """A converted trunk and what a manifest says about it."""

    trunk: Trunk
    backbone: Backbone
    size_bytes: int


@dataclass(frozen=True)
class Second:
    """A second conversion: the digests of trunk and weights, or what stood in its way."""

    trunk: str = ""
    weights: str = ""
    obstacle: CoordinatorError | None = None


class Trunks:
    """Converted trunks in the coordinator's home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._artifacts = FolderBlobs(home.artifacts)

    def ready(self, name: str) -> ReadyTrunk | None:
        """The trunk of a backbone id if it was converted before."""
        backbone = backbones.parse(name)
        record = self._read(backbone.name)
        if record is None:
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
        backbone = backbones.parse(name)
        if found := self.ready(name):
            self._write(backbone, found.trunk.sha256, found.backbone.weights_sha256)
            return found
        data, weights = self._convert(name)
        self._write(backbone, self._artifacts.put(data), weights)
        made = self.ready(name)
        assert made is not None
        return made

    def make_twice(self, name: str) -> ReadyTrunk:
        """The trunk of a backbone id, converted twice; one that this machine's TensorFlow makes otherwise is made anew.

        Raises:
            CoordinatorError: as ``make``, or ``train.conversion_unsteady``.
        """
        for _ in range(2):
            ready = self.make(name)
            sha256 = ready.trunk.sha256
            if self.converted_twice(sha256) or self._again(name, sha256).trunk == sha256:
                return ready
            self._record(ready.backbone.id).unlink(missing_ok=True)
        raise CoordinatorError("train.conversion_unsteady", what="trunk")

    def converted_twice(self, sha256: str) -> bool:
        """Whether a second conversion gave this very trunk."""
        return self._note(sha256).is_file()

    def second(self, backbone: Backbone, sha256: str) -> Second:
        """Convert a manifest's backbone once more, in a fresh process; noted where it gives the trunk ``sha256``.

        Raises:
            CoordinatorError: ``train.conversion_failed``.
        """
        try:
            return self._again(self._buildable(backbone.id), sha256)
        except CoordinatorError as error:
            if not error.code.startswith("backbone."):
                raise
            return Second(obstacle=error)

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

    def _again(self, name: str, sha256: str) -> Second:
        data, weights = self._convert(name)
        found = Second(hashlib.sha256(data).hexdigest(), weights)
        if found.trunk == sha256:
            write_atomically(self._note(sha256), json.dumps({"backbone": name, "weights": weights}).encode())
        return found

    def _convert(self, name: str) -> tuple[bytes, str]:
        """The trunk's bytes, and the digest of the weights."""
        self._home.backbones.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._home.backbones) as folder:
            target = Path(folder) / "trunk.tflite"
            weights = convert.convert_trunk(name, self._home.backbones, target)
            return target.read_bytes(), weights

    def _buildable(self, name: str) -> str:
        """A manifest's backbone id as one that can be built: a weights file by the path that it came from."""
        if not _FILE.fullmatch(name):
            return name
        path = Path((self._read(name) or {}).get("path") or "…")
        if not path.is_file() or backbones.parse(f"file:{path}").name != name:
            raise CoordinatorError("backbone.weights_gone", name=name, path=path)
        return f"file:{path}"

    def _write(self, backbone: backbones.BackboneId, trunk: str, weights: str) -> None:
        record: dict[str, Any] = {"trunk": trunk, "weights": weights}
        if backbone.path is not None:
            record["path"] = str(backbone.path.absolute())
        if record != self._read(backbone.name):
            write_atomically(self._record(backbone.name), json.dumps(record).encode())

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._record(name).read_text("utf-8")))
        except FileNotFoundError:
            return None

    def _record(self, name: str) -> Path:
        return self._home.backbones / f"{name.replace(':', '-')}.json"

    def _note(self, trunk_sha256: str) -> Path:
        return self._home.backbones / f"{trunk_sha256}.twice.json"
