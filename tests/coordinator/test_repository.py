"""The signed repository as python-tuf's own client sees it: what is published, what is refused, how one recovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp

from coordinator.errors import CoordinatorError
from coordinator.releases.lifecycle import sign_draft
from coordinator.releases.repository import Repository
from protocols.trust import ModelRollout, Offer, Rollout
from tests.support.nodes import Node

NOW = datetime.now(UTC)
PATH = "releases/malaria/malaria@1"
EMPTY = Rollout(0, "Test", None, ())


class World:
    """A repository with its keys, approvals and one node that has refreshed."""

    def __init__(self, folder: Path, threshold: int = 2) -> None:
        self.repository = Repository(folder / "repository")
        self.roots = [CryptoSigner.generate_ed25519() for _ in range(2)]
        self.online = CryptoSigner.generate_ed25519()
        self.approvers = [CryptoSigner.generate_ed25519() for _ in range(threshold + 1)]
        public = [a.public_key for a in self.approvers]
        self.repository.create(self.roots, self.online, public, threshold, EMPTY, NOW)
        self.folder = folder
        self.node = Node(folder / "node", self.repository)
        self.publish("releases/first/first@1", b"first", self.approvers[:threshold])

    def publish(self, path: str, data: bytes, signers: list[CryptoSigner]) -> None:
        draft = self.repository.draft(path, data, NOW + timedelta(days=365))
        for signer in signers:
            signature = sign_draft(draft, signer)
            draft.signatures[signature.keyid] = signature
        self.repository.publish_approved(draft, path, data, self.online, NOW)

    def say(self, serial: int, release: str) -> None:
        model = ModelRollout("malaria", "malaria", (Offer(release, 100),))
        self.repository.publish_rollout(Rollout(serial, "Test", None, (model,)), self.online, NOW)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_release_with_two_of_two_signatures_reaches_the_node(world: World) -> None:
    world.node.refresh()
    world.publish(PATH, b"manifest", world.approvers[:2])
    assert world.node.fetch(PATH) == b"manifest"


def test_one_of_two_signatures_is_never_published(world: World) -> None:
    with pytest.raises(CoordinatorError) as caught:
        world.publish(PATH, b"manifest", world.approvers[:1])
    assert caught.value.code == "release.not_enough_signatures"
    assert world.node.fetch(PATH) is None


def test_the_same_approver_twice_does_not_count_as_two(world: World) -> None:
    with pytest.raises(CoordinatorError):
        world.publish(PATH, b"manifest", [world.approvers[0], world.approvers[0]])


def test_an_unknown_approver_does_not_count(world: World) -> None:
    with pytest.raises(CoordinatorError):
        world.publish(PATH, b"manifest", [world.approvers[0], CryptoSigner.generate_ed25519()])


def test_a_second_proposal_needs_fresh_signatures_after_the_first_is_published(world: World) -> None:
    other = "releases/malaria/malaria@2"
    early = world.repository.draft(other, b"two", NOW + timedelta(days=365))
    old = [sign_draft(early, a) for a in world.approvers[:2]]
    world.publish(PATH, b"one", world.approvers[:2])
    draft = world.repository.draft(other, b"two", NOW + timedelta(days=365))
    for signature in old:
        draft.signatures[signature.keyid] = signature
    with pytest.raises(CoordinatorError):
        world.repository.publish_approved(draft, other, b"two", world.online, NOW)
    world.publish(other, b"two", world.approvers[1:])
    assert world.node.fetch(PATH) == b"one" and world.node.fetch(other) == b"two"


def test_stolen_online_key_cannot_ship_a_release(world: World) -> None:
    """The thief signs approvers metadata, and a rollout role that claims a release path; the node takes neither."""
    world.node.refresh()
    forged = world.repository.draft(PATH, b"evil", NOW + timedelta(days=365))
    forged.sign(world.online)
    world.repository._write(forged, "approvers")
    world.repository._put_target(PATH, forged.signed.targets[PATH], b"evil")
    world.repository._point(world.online, NOW, {"approvers": forged.signed.version})
    with pytest.raises(RepositoryError):
        world.node.fetch(PATH)


def test_stolen_online_key_claiming_a_release_in_the_rollout_role_is_ignored(world: World) -> None:
    claimed = world.repository.current("rollout")
    claimed.signed.version += 1
    draft = world.repository.draft(PATH, b"evil", NOW + timedelta(days=365))
    claimed.signed.targets[PATH] = draft.signed.targets[PATH]
    claimed.signatures.clear()
    claimed.sign(world.online)
    world.repository._write(claimed, "rollout")
    world.repository._put_target(PATH, draft.signed.targets[PATH], b"evil")
    world.repository._point(world.online, NOW, {"rollout": claimed.signed.version})
    assert world.node.fetch(PATH) is None


def test_stolen_online_key_is_replaced_even_after_a_fast_forward(world: World) -> None:
    world.publish(PATH, b"manifest", world.approvers[:2])
    world.say(1, "malaria@1")
    thief = Timestamp(version=2**31, expires=NOW + timedelta(days=3000))
    thief.snapshot_meta.version = 2**31
    snapshot = Snapshot(version=2**31, expires=NOW + timedelta(days=3000))
    for role in ("targets", "approvers", "rollout"):
        snapshot.meta[f"{role}.json"] = world.repository._snapshot().signed.meta[f"{role}.json"]
    honest = (world.repository.metadata / "timestamp.json").read_bytes()
    for metadata, name in ((Metadata(snapshot), f"{2**31}.snapshot.json"), (Metadata(thief), "timestamp.json")):
        metadata.sign(world.online)
        (world.repository.metadata / name).write_bytes(metadata.to_bytes())
    assert world.node.rollout().serial == 1  # the node has been fast-forwarded
    (world.repository.metadata / "timestamp.json").write_bytes(honest)
    with pytest.raises(RepositoryError):
        world.node.refresh()  # … and is locked out of the honest repository

    new = CryptoSigner.generate_ed25519()
    world.repository.rotate_online(world.roots, new, Rollout(2, "Test", None, ()), NOW)
    assert world.node.rollout().serial == 2
    assert world.node.fetch(PATH) == b"manifest"


def test_root_rotation_is_followed_and_shuts_out_the_old_keys(world: World) -> None:
    world.node.refresh()
    new = [CryptoSigner.generate_ed25519() for _ in range(2)]
    world.repository.rotate_root(world.roots, new, world.online, NOW)
    world.publish(PATH, b"manifest", world.approvers[:2])
    assert world.node.fetch(PATH) == b"manifest"
    with pytest.raises(CoordinatorError) as caught:
        world.repository.change_approvers(
            [a.public_key for a in world.approvers], world.roots, world.approvers[:2], world.online, NOW
        )
    assert caught.value.code == "key.root_needed"


def test_one_of_two_root_keys_changes_nothing(world: World) -> None:
    with pytest.raises(CoordinatorError) as caught:
        world.repository.rotate_online(world.roots[:1], CryptoSigner.generate_ed25519(), EMPTY, NOW)
    assert caught.value.code == "key.root_needed"
    world.node.refresh()


def test_departed_approver_no_longer_counts_and_nodes_are_not_locked_out(world: World) -> None:
    leaver, stayers = world.approvers[0], world.approvers[1:]
    world.publish(PATH, b"one", [leaver, stayers[0]])
    public = [s.public_key for s in stayers]
    with pytest.raises(CoordinatorError) as caught:
        world.repository.change_approvers(public, world.roots, stayers[:1], world.online, NOW)
    assert caught.value.code == "release.not_enough_signatures"
    assert world.node.fetch(PATH) == b"one"
    world.repository.change_approvers(public, world.roots, stayers, world.online, NOW)
    assert world.node.fetch(PATH) == b"one"
    with pytest.raises(CoordinatorError):
        world.publish("releases/malaria/malaria@2", b"two", [leaver, stayers[0]])


def test_timestamp_is_renewed_daily_and_not_more_often(world: World) -> None:
    assert not world.repository.keep_fresh(world.online, NOW + timedelta(hours=20))
    assert world.repository.keep_fresh(world.online, NOW + timedelta(hours=30))
    world.node.refresh()


def test_bytes_of_a_poll(world: World) -> None:
    for number in range(12):
        world.publish(f"releases/d{number}/m{number}@1", b"manifest %d" % number, world.approvers[:2])
    models = tuple(ModelRollout(f"d{n}", f"m{n}", (Offer(f"m{n}@1", 100),)) for n in range(12))
    world.repository.publish_rollout(Rollout(1, "Test", None, models), world.online, NOW)
    world.node.rollout()
    world.node.fetch("releases/d3/m3@1")
    world.node.refresh()
    assert world.node.files.bytes <= 1000, "a poll with nothing new"
    paused = (ModelRollout("d0", "m0", (Offer("m0@1", 100),), paused=True), *models[1:])
    world.repository.publish_rollout(Rollout(2, "Test", None, paused), world.online, NOW)
    world.node.rollout()
    assert world.node.files.bytes <= 2600  # the document of twelve models travels with it


CRASH = """
import os, sys
from pathlib import Path
from datetime import UTC, datetime, timedelta
from securesystemslib.signer import CryptoSigner
from coordinator.releases import keys, repository as module
from coordinator.releases.lifecycle import sign_draft
folder, step = Path(sys.argv[1]), int(sys.argv[2])
writes = 0
real = module.write_atomically
def counted(path, data, mode=0o644):
    global writes
    writes += 1
    if writes == step:
        path.with_name(path.name + ".part").write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), 9)
    real(path, data, mode)
module.write_atomically = counted
now = datetime.now(UTC)
world = module.Repository(folder / "repository")
draft = world.draft("releases/malaria/malaria@2", b"two", now + timedelta(days=365))
for name in ("a", "b"):
    signature = sign_draft(draft, keys.load(folder / f"{name}.pem"))
    draft.signatures[signature.keyid] = signature
world.publish_approved(draft, "releases/malaria/malaria@2", b"two", keys.load(folder / "online.pem"), now)
"""


@pytest.mark.slow
def test_killed_at_every_write_of_a_publication_nodes_find_old_or_new(tmp_path: Path) -> None:
    from coordinator.releases import keys

    approvers = [keys.create(tmp_path / f"{n}.pem") for n in ("a", "b")]
    online, root = keys.create(tmp_path / "online.pem"), keys.create(tmp_path / "root.pem")
    repository = Repository(tmp_path / "repository")
    repository.create([root], online, [a.public_key for a in approvers], 2, EMPTY, NOW)
    draft = repository.draft("releases/malaria/malaria@1", b"one", NOW + timedelta(days=365))
    for signature in (sign_draft(draft, a) for a in approvers):
        draft.signatures[signature.keyid] = signature
    repository.publish_approved(draft, "releases/malaria/malaria@1", b"one", online, NOW)
    node = Node(tmp_path / "node", repository)
    for step in range(1, 20):
        done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path), str(step)], check=False, env=os.environ)
        found = node.fetch("releases/malaria/malaria@2")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        assert found is None, "nothing is current before the timestamp names it"
    else:
        pytest.fail("the publication never ended")
    assert step > 4 and found == b"two"


def test_targets_are_delegated_to_the_right_roles_only(world: World) -> None:
    targets = world.repository.current("targets").signed
    assert isinstance(targets, Targets) and targets.targets == {}
    approvers, rollout = world.repository.role("approvers"), world.repository.role("rollout")
    assert approvers.paths == ["releases/*/*"] and approvers.terminating and approvers.threshold == 2
    assert rollout.paths == ["rollout/*"] and rollout.terminating and rollout.threshold == 1
    assert not set(approvers.keyids) & set(rollout.keyids)
