"""One small network for all end-to-end tests: real processes on loopback, a random backbone, drawn cells."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.bootstrap import open_coordinator
from coordinator.store.blobs import FolderBlobs
from tests.support.commands import Running, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "demo"))
from smear import draw_set

BACKBONE = "random-1"


@dataclass
class Network:
    """A coordinator that serves one release, and where things are."""

    home: Path
    images: Path
    report: dict[str, Any]
    trained: dict[str, Any]
    server: Running
    addresses: dict[str, str]

    def join(self, home: Path) -> Path:
        """Enrol a fresh node."""
        invite = run("medmesh-coordinator", "node", "invite", home=self.home)["invite"]
        run("medmesh-edge", "join", invite, "--name", home.name, home=home)
        return home


def release(home: Path, name: str) -> None:
    """Propose, approve and roll out."""
    run(
        "medmesh-coordinator",
        "release",
        "propose",
        name,
        "--allow-unmapped",
        "test",
        "--notes",
        f"Drawn cells, {name}",
        home=home,
    )
    run("medmesh-coordinator", "release", "approve", name, home=home)
    run("medmesh-coordinator", "release", "rollout", name, "--percent", "100", home=home)


def models_in(home: Path) -> list[dict[str, Any]]:
    """All model versions; every file of theirs is whole."""

    async def read() -> list[dict[str, Any]]:
        async with open_coordinator(home) as coordinator:
            listed = await coordinator.models.list()
            shown = [await coordinator.models.show(f"{m['model']}@{m['version']}") for m in listed]
        blobs = FolderBlobs(coordinator.home.artifacts)
        for artifact in (a for model in shown for a in model["artifacts"]):
            assert blobs.path(artifact["sha256"]).stat().st_size == artifact["size"]
        return listed

    return asyncio.run(read())


async def _other_version(home: Path, model: str, disease: str, version: int) -> None:
    async with open_coordinator(home) as coordinator:
        row = await coordinator.models.row("malaria@1")
        manifest = coordinator.models.read_manifest(row.manifest)
        made = replace(manifest, model=model, disease=disease, version=version)
        await coordinator.models.add(made, {**row.training, "model": model, "version": version})


def add_version(home: Path, model: str, disease: str, version: int) -> None:
    """The network's model under another name, as another training would bring it: where only its releases matter."""
    asyncio.run(_other_version(home, model, disease, version))


@dataclass(frozen=True)
class Converted:
    """A home in which the trunk was converted, twice: the same for everybody, so that nobody else need wait for it."""

    home: Path

    def give(self, home: Path) -> None:
        """Lay the trunk, and the note that it came out the same twice, into another home."""
        for folder in ("backbones", "artifacts"):
            source = self.home / "coordinator" / folder
            shutil.copytree(source, home / "coordinator" / folder, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    home = tmp_path_factory.mktemp("trunk") / "home"
    run("medmesh-coordinator", "init", "--approvals", "1", home=home)
    run("medmesh-coordinator", "backbone", "fetch", BACKBONE, home=home)
    return Converted(home)


@pytest.fixture(scope="session")
def network(trunk: Converted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    home, images = folder / "home", folder / "cells"
    draw_set(images, seed=11, patients=12, cells_each=10)
    run("medmesh-coordinator", "init", "--approvals", "1", home=home)
    trunk.give(home)
    report = run("medmesh-coordinator", "dataset", "import", str(images), "--disease", "malaria", home=home)
    trained = run("medmesh-coordinator", "train", "malaria", "--backbone", BACKBONE, "--effort", "quick", home=home)
    release(home, "malaria@1")
    server = Running("medmesh-coordinator", "serve", "--port", "0", "--node-port", "0", home=home)
    try:
        yield Network(home, images, report, trained, server, server.wait_for(url=None))
    finally:
        server.stop()
