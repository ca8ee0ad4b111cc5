"""A network with a release of two tiny real stages, made without any training."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.config import Config, UpstreamConfig
from coordinator.home import Home
from coordinator.store.blobs import FolderBlobs
from coordinator.training.trunks import Trunks
from coordinator.upstream.service import Upstreams
from coordinator.upstream.source import AbsentError
from coordinator.upstream.store import UpstreamStore
from protocols.manifest import ReleaseManifest
from protocols.network import NetworkFile
from tests.edge_node.support.releases import make_release


def now() -> datetime:
    """The present; both networks have right clocks unless a test turns one."""
    return datetime.now(UTC)


async def made(opened: Coordinator, version: int = 1, **changes: Any) -> str:
    """A model version, as if it had been trained there."""
    release = make_release(version=version, created=now().isoformat(timespec="seconds"), **changes)
    blobs, manifest = FolderBlobs(opened.home.artifacts), release.manifest
    for data in release.files.values():
        blobs.put(data)
    figures = {"balanced_accuracy": {"value": 0.97, "low": 0.95, "high": 0.99}}
    manifest = replace(manifest, metrics=figures, data={"dataset": "cells", "images": 400, "groups": 80})
    head = next(a.sha256 for a in manifest.artifacts if a.role == "head")
    parity = {"ok": True, "agreement": 1.0, "score_difference": 0.0, "per_class": {}, "head": head}
    training = {"dataset": "cells", "metrics": figures, "parity": parity, "artifacts": []}
    await opened.models.add(manifest, training)
    trunks = Trunks(opened.home)
    trunk = next(a.sha256 for a in manifest.artifacts if a.role == "trunk")
    note = trunks._note(trunk)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"backbone": "random-1", "weights": "0" * 64}))
    return manifest.name


async def released(opened: Coordinator, version: int = 1, **changes: Any) -> str:
    """The same, proposed, approved and offered to all."""
    name = await made(opened, version, **changes)
    await opened.releases.propose(name, f"Version {version}.", None, False, now(), accept_worse="drawn, not trained")
    await opened.releases.approve(name, None, now())
    await opened.releases.rollout(name, 100, (), now())
    return name


@asynccontextmanager
async def network(home: Path, name: str) -> AsyncIterator[Coordinator]:
    """A fresh coordinator."""
    await initialise(home, Config(name, 1))
    async with open_coordinator(home) as opened:
        yield opened


def handed_over(opened: Coordinator, least_serial: int = 0) -> NetworkFile:
    """What its keeper gives another network."""
    root = opened.releases.repository.root_bytes()
    return NetworkFile(opened.config.name, ("https://north.example",), root, None, least_serial)


Attack = Callable[[str, bytes], bytes | None]


class HomeSource:
    """A coordinator's files without a wire; ``attack`` is whoever sits on it, ``frozen`` a state from before."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.attack: Attack = lambda _, data: data
        self.asked: list[tuple[str, int]] = []
        self.frozen: dict[str, bytes] | None = None

    def get(self, path: str, start: int = 0) -> Iterator[bytes]:
        self.asked.append((path, start))
        data = self._data(path) if self.frozen is None else self.frozen.get(path)
        data = None if data is None else self.attack(path, data)
        if data is None:
            raise AbsentError("upstream.absent", path=path)
        for at in range(start, len(data), 1000):
            yield data[at : at + 1000]

    def _data(self, path: str) -> bytes | None:
        name = path.removeprefix("/v1/tuf/")
        file = self.home.repository / name
        if name.startswith("/v1/artifacts/"):
            file = FolderBlobs(self.home.artifacts).path(name.removeprefix("/v1/artifacts/"))
        return file.read_bytes() if file.is_file() else None

    def snapshot(self) -> dict[str, bytes]:
        """Everything signed, as it is now."""
        root = self.home.repository
        files = [p for p in root.rglob("*") if p.is_file() and p.name != "lock"]
        return {f"/v1/tuf/{p.relative_to(root)}": p.read_bytes() for p in files}


def upstreams(
    opened: Coordinator, source: HomeSource, on_revocation: str = "pause", later: timedelta = timedelta()
) -> Upstreams:
    """The service of the second network, with the first at the other end of ``source``."""
    config = UpstreamConfig(on_revocation)
    store = UpstreamStore(opened.database)
    return Upstreams(
        store, opened.home, config, opened.models, opened.releases, lambda: now() + later, lambda *_: source
    )


def measured(value: float = 0.9) -> Callable[[ReleaseManifest], dict[str, Any]]:
    """An evaluation on data of this network."""
    figures = {"value": value, "low": value - 0.05, "high": value + 0.05}
    document = {"on": "ours", "n": 60, "groups": 20, "balanced_accuracy": figures, "auc_macro": 0.95, "ece": 0.02}
    return lambda _: document
