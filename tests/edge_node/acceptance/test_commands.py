"""Real processes against a coordinator on loopback: a site declines a release, says why, and a clinician decides otherwise."""

from __future__ import annotations

import json
from pathlib import Path

from tests.edge_node.acceptance.site import fill, permuted
from tests.edge_node.support.commands import edge
from tests.edge_node.support.server import CoordinatorServer


def test_a_site_declines_a_worse_release_and_a_clinician_overrides(
    joined: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    assert edge(joined, "pull", "malaria").json["declined"] is None
    images = fill(tmp_path / "images")
    assert edge(joined, "data", "add", str(images), "--disease", "malaria").json["from_files"] == 24
    coordinator.simulator.publish(permuted(2))

    done = edge(joined, "pull", "malaria")
    assert (done.code, done.error["code"]) == (5, "acceptance.worse_here")
    assert "medmesh-edge accept malaria@2" in done.error["remedy"]
    document = json.loads(done.out)
    assert (document["release"], document["active"]) == ("malaria@2", False)
    assert document["declined"]["figures"] == {
        "candidate": 0.0, "active": 1.0, "low": -1.0, "high": -1.0, "n": 24, "groups": 24,
    }  # fmt: skip
    assert (document["declined"]["reason"], document["declined"]["against"]) == ("worse_here", "malaria@1")
    (row,) = edge(joined, "models").json["models"]
    assert (row["active_version"], row["release"], row["declined"]["reason"]) == (1, "malaria@2", "worse_here")

    assert edge(joined, "accept", "malaria@2").json["active"]
    back = edge(joined, "decline", "malaria@2", "--reason", "not on our scanner").json
    assert back["active_release"] == "malaria@1"
    status = edge(joined, "status").json
    assert [(m["version"], d["reason"]) for m in status["models"] for d in status["acceptance"]] == [(1, "by_hand")]
