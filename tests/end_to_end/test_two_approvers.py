"""Two approvers on two machines, by the public commands alone; their keys never lie together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import BACKBONE, Network
from tests.support.commands import Running, call, run

pytestmark = pytest.mark.slow


def test_a_release_needs_both_and_one_alone_can_stop_it(network: Network, tmp_path: Path) -> None:
    center, anna, bo = tmp_path / "center", tmp_path / "anna", tmp_path / "bo"
    made = run("medmesh-coordinator", "init", "--approvals", "2", home=center)
    assert len(made["root_keys"]) == 2
    for person in (anna, bo):
        line = run("medmesh-coordinator", "key", "create", "--out", str(person / "me.pem"), home=person)["key"]
        run("medmesh-coordinator", "user", "add", person.name, "--approver", line, home=center)
    listed = run("medmesh-coordinator", "user", "list", home=center)
    assert listed == {"users": [], "approvers": ["anna", "bo"], "needed": 2}
    run("medmesh-coordinator", "dataset", "import", str(network.images), "--disease", "malaria", home=center)
    for folder in (
        "backbones",
        "artifacts",
    ):  # the trunk is the same everywhere; converting it again would only take time
        shutil.copytree(network.home / "coordinator" / folder, center / "coordinator" / folder, dirs_exist_ok=True)
    run("medmesh-coordinator", "train", "malaria", "--backbone", BACKBONE, "--effort", "quick", home=center)
    run("medmesh-coordinator", "release", "propose", "malaria", home=center)
    fingerprint = run("medmesh-coordinator", "key", "list", home=center)["ca_sha256"]

    server = Running("medmesh-coordinator", "serve", "--port", "0", "--node-port", "0", "--no-zeroconf", home=center)
    try:
        url = server.wait_for(url=None)["url"]

        def approve(person: Path, *, ca: str = fingerprint) -> tuple[int, dict, dict]:
            arguments = ["malaria@1", "--key", str(person / "me.pem"), "--at", url, "--ca", ca]
            answer = call("medmesh-coordinator", "release", "approve", *arguments, home=person)
            return answer.code, answer.document, answer.error

        assert approve(anna, ca="0" * 64)[2]["code"] == "approve.wrong_coordinator"
        code, document, _ = approve(anna)
        assert code == 0 and document["state"] == "proposed" and len(document["approvals"]) == 1
        early = call("medmesh-coordinator", "release", "rollout", "malaria@1", home=center)
        assert (early.code, early.error["code"]) == (5, "release.wrong_state")
        assert "release.already_signed" in approve(anna)[2]["message"]
        stranger = tmp_path / "stranger"
        run("medmesh-coordinator", "key", "create", "--out", str(stranger / "me.pem"), home=stranger)
        assert "release.not_an_approver" in approve(stranger)[2]["message"]
        assert approve(bo)[1]["state"] == "approved"
        run("medmesh-coordinator", "release", "rollout", "malaria@1", home=center)

        node = tmp_path / "clinic"
        invite = run("medmesh-coordinator", "node", "invite", home=center)["invite"]
        run("medmesh-edge", "join", invite, home=node)
        assert run("medmesh-edge", "pull", "malaria", home=node)["release"] == "malaria@1"
        run("medmesh-coordinator", "release", "withdraw", "malaria@1", "--reason", "misses ring forms", home=center)
        run("medmesh-edge", "sync", home=node)
        image = str(next((network.images / "parasitized").iterdir()))
        refused = call("medmesh-edge", "recognise", image, "--disease", "malaria", home=node)
        assert refused.code == 5 and "misses ring forms" in refused.error["message"]
    finally:
        server.stop()
    assert not list((center / "coordinator" / "keys").glob("approver-*"))
