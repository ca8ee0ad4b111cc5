"""A node against the real coordinator: partial rollout, rollback, node revocation, QR, stolen key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Network, add_version, release
from tests.support.commands import call, run

pytestmark = pytest.mark.slow


def test_rollback_by_one_person_reaches_a_node_at_its_next_poll(network: Network, tmp_path: Path) -> None:
    first = tmp_path / "first"
    for version in (1, 2):
        add_version(network.home, "rash", "eczema", version)
        release(network.home, f"rash@{version}")
    node = network.join(first)
    assert run("medmesh-edge", "pull", "eczema", home=node)["release"] == "rash@2"
    run("medmesh-coordinator", "release", "rollback", "rash@2", home=network.home)
    pulled = run("medmesh-edge", "pull", "eczema", home=node)
    assert pulled["release"] == "rash@1"
    run("medmesh-coordinator", "release", "rollout", "rash@2", "--percent", "100", home=network.home)
    switched = run("medmesh-edge", "pull", "eczema", home=node)
    assert switched["release"] == "rash@2" and switched["bytes"]["coordinator"] == 0
    run("medmesh-coordinator", "release", "rollback", "rash@2", home=network.home)
    back = run("medmesh-edge", "pull", "eczema", home=node)
    assert back["release"] == "rash@1" and back["bytes"]["coordinator"] == 0


def test_revoked_node_is_turned_away(network: Network, tmp_path: Path) -> None:
    node = network.join(tmp_path / "thief")
    run("medmesh-coordinator", "node", "revoke", "thief", home=network.home)
    answer = call("medmesh-edge", "sync", home=node)
    assert answer.code == 5 and answer.error["code"] == "node.revoked"


def test_invite_as_a_qr_image(network: Network, tmp_path: Path) -> None:
    target = tmp_path / "invite.png"
    run("medmesh-coordinator", "node", "invite", "--qr", str(target), home=network.home)
    assert target.read_bytes().startswith(b"\x89PNG")


def test_used_invite_is_refused(network: Network, tmp_path: Path) -> None:
    invite = run("medmesh-coordinator", "node", "invite", home=network.home)["invite"]
    run("medmesh-edge", "join", invite, home=tmp_path / "one")
    answer = call("medmesh-edge", "join", invite, home=tmp_path / "two")
    assert answer.code == 5 and "invite is used" in answer.error["message"]


def test_rotating_the_online_key_is_one_command_and_nodes_follow(network: Network, tmp_path: Path) -> None:
    node = network.join(tmp_path / "clinic")
    run("medmesh-edge", "pull", "malaria", home=node)
    stolen = tmp_path / "stolen.pem"
    shutil.copy(network.home / "coordinator" / "keys" / "online.pem", stolen)
    run("medmesh-coordinator", "key", "rotate", "online", home=network.home)
    assert (network.home / "coordinator" / "keys" / "online.pem").read_bytes() != stolen.read_bytes()
    run("medmesh-edge", "sync", home=node)
    run("medmesh-coordinator", "key", "rotate", "root", home=network.home)
    run("medmesh-edge", "sync", home=node)
    assert run("medmesh-edge", "pull", "malaria", home=node)["already_cached"]
