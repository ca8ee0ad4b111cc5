"""Sticks made by hand, and nodes that take them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_node.bundle.importer import Imported, Importer
from edge_node.bundle.reader import Bundle, BundleSource
from edge_node.bundle.writer import write_bundle
from protocols import bundle
from protocols.artifacts import Artifact
from tests.edge_node.support.node import COORDINATOR, Node
from tests.edge_node.support.releases import Simulator

HEADER = {"format": bundle.FORMAT, "coordinator": COORDINATOR, "root": 1, "timestamp": 1}


def stick(simulator: Simulator, path: Path, files: dict[str, bytes] | None = None, **header: Any) -> Path:
    """A bundle of all that the simulator publishes now, or of ``files`` in the place of its signed ones."""
    simulator.update()
    signed = {bundle.TUF + name: data for name, data in simulator.repository.files.items()} if files is None else files
    held: dict[str, bytes] = {}
    for release in simulator.releases:
        held |= release.files
    if simulator.knowledge is not None:
        held[Artifact.of("kb", simulator.knowledge[0]).sha256] = simulator.knowledge[0]
    artifacts = []
    for sha256, data in held.items():
        source = path.parent / sha256
        source.write_bytes(data)
        artifacts.append((Artifact.of("any", data), source))
    write_bundle(path, {**HEADER, **header}, signed, artifacts, lambda _: None)
    return path


async def take_in(node: Node, path: Path) -> Imported:
    """Import as ``bundle import`` does: the node's own feed and fetcher, with the bundle as their only source."""
    opened = Bundle.opened(path)
    source = BundleSource(opened)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.feed, "_origins", [source])
        patch.setattr(node.fetcher, "_sources", [source])
        importer = Importer(opened, node.feed, node.puller, node.store, node.cache, node.anchor.coordinator)
        return await importer.run(lambda _: None, lambda _: None)
