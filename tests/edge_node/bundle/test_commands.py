"""``bundle export`` and ``bundle import``: whole commands in processes of their own."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

import pytest

from disease_kb import replica
from disease_kb.seeding import seed_entries
from protocols.parcels import read_parcel
from tests.edge_node.outbox.test_wire import CASE, NAME, Secrets, photograph
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import RED, make_release, png
from tests.edge_node.support.results import keep, result
from tests.edge_node.support.server import CoordinatorServer

NOWHERE = {"urls": ["https://127.0.0.1:1"], "node_url": "wss://127.0.0.1:1"}


@pytest.fixture
def clinic(coordinator: CoordinatorServer, joined: Path, tmp_path: Path) -> Path:
    """The home of a second node, enrolled with the same coordinator, that can reach nobody."""
    home = tmp_path / "clinic"
    coordinator.node = "c" * 16
    assert edge(home, "join", coordinator.invite, "--name", "clinic").code == 0
    identity = home / "edge" / "identity" / "identity.json"
    identity.write_text(json.dumps(json.loads(identity.read_text()) | NOWHERE))
    return home


def test_from_one_node_to_another_and_back(
    joined: Path, clinic: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    edge(joined, "pull", "malaria")
    out, back, photo = tmp_path / "out", tmp_path / "back.medmesh", tmp_path / f"{NAME}.jpg"
    exported = edge(joined, "bundle", "export", str(out)).json
    assert exported["path"] == str(out) + ".medmesh"
    assert (exported["releases"], exported["missing"], exported["online"]) == (["kb@1", "malaria@1"], [], True)

    requests = len(coordinator.received)
    done = edge(clinic, "bundle", "import", exported["path"]).json
    assert [row["release"] for row in done["installed"]] == ["malaria@1"]
    assert (done["catalogue"], done["knowledge_updated"], done["error"]) == ("verified", True, None)
    photo.write_bytes(photograph())
    found = edge(clinic, "recognise", str(photo), "--all", "--case", CASE).json["results"][0]
    assert found["diagnosis"]["source"] == "replica"
    edge(clinic, "confirm", found["id"], "--label", "other")

    sent = edge(clinic, "bundle", "export", str(back))
    assert (sent.json["parcels"], sent.json["online"]) == (1, False)
    assert "last verified here" in sent.err
    with zipfile.ZipFile(back) as archive:
        parcels = [archive.read(name) for name in archive.namelist() if name.startswith("parcels/")]
    frames = [f for p in parcels for f in coordinator.authority.opened(read_parcel(p)[0]).frames]
    secrets = Secrets(photo)
    assert [x for data in (*parcels, *map(zlib.decompress, frames)) for x in secrets.found_in(data)] == []
    for text in (CASE, NAME, "王小明", str(tmp_path)):
        assert text.encode() not in back.read_bytes()
    assert len(coordinator.received) == requests, "the clinic asked nobody"

    taken = edge(joined, "bundle", "import", str(back)).json
    assert (taken["parcels"]["taken"], taken["catalogue"] in ("verified", "older")) == (1, True)
    synced = edge(joined, "sync").json
    assert synced["parcels"] == {"delivered": 1, "refused": 0, "kept": 0}
    assert found["id"] in coordinator.gateway.stored and len(coordinator.gateway.stored) == 2
    assert [x.release for x in coordinator.heartbeats["c" * 16].releases] == ["malaria@1"]

    edge(joined, "bundle", "export", str(back), "--force")
    assert edge(clinic, "status").json["outbox"]["queued"] == 2
    home_again = edge(clinic, "bundle", "import", str(back)).json
    assert (home_again["receipts"], home_again["acknowledged"]) == (1, 2)
    outbox = edge(clinic, "status").json["outbox"]
    assert (outbox["queued"], outbox["acknowledged"]) == (0, 2)


def test_the_mail_of_an_old_stick_is_taken_and_its_list_is_not(
    joined: Path, clinic: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    edge(joined, "pull", "malaria")
    first, back = tmp_path / "a.medmesh", tmp_path / "b.medmesh"
    edge(joined, "bundle", "export", str(first))
    edge(clinic, "bundle", "import", str(first))
    keep(clinic, result(1))
    edge(clinic, "bundle", "export", str(back))
    coordinator.simulator.publish(make_release(version=2))
    edge(joined, "sync")
    done = edge(joined, "bundle", "import", str(back)).json
    assert (done["catalogue"], done["parcels"]["taken"], done["bytes"]) == ("older", 1, 0)
    older = edge(joined, "bundle", "import", str(first))
    assert (older.code, older.error["code"]) == (5, "trust.rollback") and "Export a fresh bundle" in older.err
    assert edge(joined, "status").json["models"][0]["version"] == 2


def test_a_month_offline_exports_its_mail_and_no_list_that_nobody_would_believe(
    joined: Path, clinic: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.medmesh"
    edge(joined, "pull", "malaria")
    edge(joined, "bundle", "export", str(out))
    edge(clinic, "bundle", "import", str(out))
    for path in (clinic / "edge" / "trust").glob("*/timestamp.json"):
        document = json.loads(path.read_text())
        document["signed"]["expires"] = "2020-01-01T00:00:00Z"
        path.write_text(json.dumps(document))
    keep(clinic, result(1))
    sent = edge(clinic, "bundle", "export", str(tmp_path / "b")).json
    assert (sent["serial"], sent["releases"], sent["parcels"]) == (None, [], 1)
    assert sent["bytes"] < 20_000
    assert edge(joined, "bundle", "import", str(tmp_path / "b.medmesh")).json["catalogue"] == "none"


def test_a_disease_that_is_not_installed_can_be_brought_to_somebody_else(
    joined: Path, clinic: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    skin = make_release("skin", padding=bytes(300_000), in_chunks=True)
    coordinator.simulator.releases[:] = [make_release("gout", padding=b"gout"), skin]
    empty = edge(joined, "bundle", "export", str(tmp_path / "empty.medmesh"))
    assert empty.json["releases"] == [] and "Name what it is for with --disease" in empty.err
    out = tmp_path / "a.medmesh"
    assert edge(joined, "bundle", "export", str(out), "--disease", "skin").json["releases"] == ["skin@1"]
    assert edge(joined, "status").json["models"] == []
    done = edge(clinic, "bundle", "import", str(out)).json
    assert [row["release"] for row in done["installed"]] == ["skin@1"]
    listed = edge(clinic, "models").json["models"]
    assert [(row["disease"], row["cached"]) for row in listed] == [("gout", False), ("skin", True)]
    assert done["not_carried"] == []
    lists = {f"artifacts/{artifact.chunks}" for artifact in skin.manifest.artifacts if artifact.chunks}
    assert len(lists) == 1
    with zipfile.ZipFile(out) as archive:
        assert lists <= set(archive.namelist()), "so that the clinic's nodes can share it"


def test_errors_are_one_sentence_with_a_code(
    home: Path, joined: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    out, other = tmp_path / "a.medmesh", tmp_path / "nobody"

    def failed(home: Path, *arguments: str) -> tuple[int, str]:
        done = edge(home, "bundle", *arguments)
        assert "Traceback" not in done.err
        return done.code, done.error["code"]

    assert failed(other, "export", str(out)) == (5, "edge.not_enrolled")
    assert failed(joined, "import", str(out)) == (4, "file.not_found")
    assert failed(joined, "import", str(tmp_path)) == (3, "file.wrong_kind")
    assert failed(joined, "export", str(out), "--disease", "gout") == (4, "edge.disease_unknown")
    assert not out.exists()
    edge(joined, "bundle", "export", str(out))
    assert failed(joined, "export", str(out)) == (5, "bundle.exists")
    whole = out.read_bytes()
    out.write_bytes(whole[:-100])
    assert failed(joined, "import", str(out)) == (3, "bundle.malformed")
    out.write_bytes(whole.replace(coordinator.authority.fingerprint.encode(), b"0" * 64))
    assert failed(joined, "import", str(out)) == (5, "bundle.foreign")


def test_a_picture_is_recognised_from_a_stick_alone(
    joined: Path, clinic: Path, coordinator: CoordinatorServer, tmp_path: Path
) -> None:
    edge(joined, "pull", "malaria")
    out, red = tmp_path / "a.medmesh", tmp_path / "red.png"
    edge(joined, "bundle", "export", str(out))
    edge(clinic, "bundle", "import", str(out))
    red.write_bytes(png(RED, edge=100))
    assert edge(clinic, "recognise", str(red), "--all").json["results"][0]["prediction_set"] == ["red"]
    coordinator.simulator.revoked["malaria@1"] = "wrong labels"
    edge(joined, "bundle", "export", str(out), "--force", "--disease", "malaria")
    done = edge(clinic, "bundle", "import", str(out)).json
    assert done["revoked"] == [{"release": "malaria@1", "reason": "wrong labels"}]
    refused = edge(clinic, "recognise", str(red), "--disease", "malaria")
    assert (refused.code, refused.error["code"]) == (5, "release.revoked")
