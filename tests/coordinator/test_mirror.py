"""The static tree: complete, incremental, and whole at any moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordinator.errors import CoordinatorError
from coordinator.releases.mirror import write_mirror
from coordinator.store.blobs import FolderBlobs
from protocols.artifacts import Artifact, canonical_json
from protocols.trust import ModelRollout, Offer, Rollout, release_path
from tests.coordinator.test_repository import World
from tests.support.nodes import Node

NOW = datetime.now(UTC)


class Publisher:
    """A coordinator with a model whose versions share a trunk, and the tree."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, threshold=1)
        self.blobs = FolderBlobs(folder / "artifacts")
        self.tree = folder / "tree"
        self.trunk = self.blobs.put(b"trunk" * 100)
        self.offers: list[Offer] = []

    def publish(self, version: int) -> str:
        """A new version with a head of its own; returns the head's digest."""
        head = self.blobs.put(f"head {version}".encode())
        artifacts = [
            Artifact("trunk", self.trunk, 500).document(),
            Artifact("head", head, len(f"head {version}")).document(),
        ]
        name = f"malaria@{version}"
        self.world.publish(
            release_path("malaria", name), canonical_json({"artifacts": artifacts}), self.world.approvers[:1]
        )
        self.offers.insert(0, Offer(name, 100))
        rollout = Rollout(version, "Test", None, (ModelRollout("malaria", "malaria", tuple(self.offers), False),))
        self.world.repository.publish_rollout(rollout, self.world.online, NOW)
        return head

    def write(self) -> dict[str, int]:
        return write_mirror(self.world.repository, self.blobs, self.tree).document()

    def held(self) -> set[str]:
        return {p.name for p in (self.tree / "v1" / "artifacts").iterdir()}

    def node(self, folder: Path) -> Node:
        """A node that knows the tree only."""
        node = Node(folder, self.world.repository)
        node.files._folders = {"m": self.tree / "v1" / "tuf" / "metadata", "t": self.tree / "v1" / "tuf" / "targets"}
        return node


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path)


def test_a_node_that_knows_only_the_tree_finds_what_is_on_offer(publisher: Publisher, tmp_path: Path) -> None:
    head = publisher.publish(1)
    written = publisher.write()
    node = publisher.node(tmp_path / "clinic")
    assert node.rollout().serial == written["serial"] == 1
    assert node.fetch(release_path("malaria", "malaria@1")) is not None
    assert publisher.held() == {publisher.trunk, head}
    assert (publisher.tree / "v1" / "artifacts" / head).stat().st_mode & 0o044 == 0o044


def test_only_what_is_new_is_written_and_nothing_is_removed(publisher: Publisher, tmp_path: Path) -> None:
    first = publisher.publish(1)
    publisher.write()
    assert publisher.write()["copied"] == 0
    trunk = publisher.tree / "v1" / "artifacts" / publisher.trunk
    before = trunk.stat().st_mtime_ns
    second = publisher.publish(2)
    written = publisher.write()
    assert (written["serial"], trunk.stat().st_mtime_ns) == (2, before)
    assert publisher.held() == {publisher.trunk, first, second}
    assert publisher.node(tmp_path / "clinic").rollout().serial == 2


def test_stopped_at_any_write_nodes_find_the_old_or_the_new_state_whole(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.publish(1)
    publisher.write()
    publisher.publish(2)
    from coordinator.releases import mirror

    real, step = mirror.write_atomically, 0
    while True:
        step += 1
        left = step

        def stops(path: Path, data: bytes) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise OSError("stopped")
            real(path, data)

        monkeypatch.setattr(mirror, "write_atomically", stops)
        try:
            publisher.write()
            break
        except OSError:
            node = publisher.node(tmp_path / f"clinic-{step}")
            assert node.rollout().serial == 1
            assert node.fetch(release_path("malaria", "malaria@1")) is not None
    assert step > 1
    assert publisher.node(tmp_path / "clinic").rollout().serial == 2


def test_a_damaged_artifact_is_not_spread(publisher: Publisher) -> None:
    publisher.publish(1)
    publisher.blobs.path(publisher.trunk).write_bytes(b"other")
    with pytest.raises(CoordinatorError) as caught:
        publisher.write()
    assert caught.value.code == "artifact.mismatch"
    assert not (publisher.tree / "v1" / "tuf").exists()
