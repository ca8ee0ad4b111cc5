"""A clinic without any line: models come on a stick, results go on one, and both sides know what the other has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Network
from tests.support.commands import call, run

pytestmark = pytest.mark.slow


def test_models_in_results_out_receipts_back_by_hand(network: Network, tmp_path: Path) -> None:
    carrier, clinic = network.join(tmp_path / "carrier"), network.join(tmp_path / "clinic")
    identity = clinic / "edge" / "identity" / "identity.json"
    nowhere = {"urls": ["https://127.0.0.1:1"], "node_url": "wss://127.0.0.1:1"}
    identity.write_text(json.dumps(json.loads(identity.read_text()) | nowhere))
    out, back, again = (str(tmp_path / f"{name}.medmesh") for name in ("out", "back", "again"))
    before = run("medmesh-coordinator", "results", "list", home=network.home)["results"]

    run("medmesh-edge", "pull", "malaria", home=carrier)
    exported = run("medmesh-edge", "bundle", "export", out, home=carrier)
    assert "malaria@1" in exported["releases"] and exported["missing"] == []
    done = run("medmesh-edge", "bundle", "import", out, home=clinic)
    assert {"disease": "malaria", "release": "malaria@1"} in done["installed"]

    picture = next(path for path in sorted(network.images.rglob("*.png")))
    found = run("medmesh-edge", "recognise", str(picture), "--all", "--case", "CASE-4711", home=clinic)["results"]
    run("medmesh-edge", "bundle", "export", back, home=clinic)
    data = Path(back).read_bytes()
    assert b"CASE-4711" not in data and picture.name.encode() not in data

    assert run("medmesh-edge", "bundle", "import", back, home=carrier)["parcels"]["taken"] == 1
    assert run("medmesh-edge", "sync", home=carrier)["parcels"] == {"delivered": 1, "refused": 0, "kept": 0}
    after = run("medmesh-coordinator", "results", "list", home=network.home)["results"]
    assert after - before == len(found)
    node = json.loads(identity.read_text())["node"]
    listed = run("medmesh-coordinator", "node", "list", home=network.home)["nodes"]
    assert next(x for x in listed if x["node"] == node)["by_hand"]["queued"] == len(found)

    run("medmesh-edge", "bundle", "export", again, home=carrier)
    assert run("medmesh-edge", "bundle", "import", again, home=clinic)["acknowledged"] == len(found)
    assert run("medmesh-edge", "status", home=clinic)["outbox"]["queued"] == 0

    run("medmesh-coordinator", "node", "revoke", node, home=network.home)
    run("medmesh-edge", "bundle", "export", back, "--force", home=clinic)
    run("medmesh-edge", "sync", home=carrier)
    assert run("medmesh-edge", "bundle", "import", back, home=carrier)["parcels"] == {"taken": 0, "refused": 1}
    run("medmesh-edge", "bundle", "export", again, "--force", home=carrier)
    told = call("medmesh-edge", "bundle", "import", again, home=clinic)
    assert (told.code, told.error["code"]) == (5, "node.revoked")
