"""Whole commands in processes of their own, against a coordinator on loopback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from disease_kb import replica
from disease_kb.diagnosis import diagnosis_aid
from disease_kb.seeding import seed_entries
from edge_node.bootstrap import Edge
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.commands import command_line, edge, environment
from tests.edge_node.support.flapping import flapping
from tests.edge_node.support.killing import POINTS
from tests.edge_node.support.node import NODE
from tests.edge_node.support.releases import BLUE, RED, Simulator, make_release, png
from tests.edge_node.support.server import CoordinatorServer, serving

NOWHERE = "wss://127.0.0.1:1"
PADDING = random.Random(3).randbytes(3_000_000)


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(png(RED, edge=100))
    return path


def test_the_main_job(joined: Path, coordinator: CoordinatorServer, red: Path) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    coordinator.entries = {entry.id: diagnosis_aid(entry) for entry in seed_entries()}
    listed = edge(joined, "models").json["models"]
    assert [(m["disease"], m["cached"], m["version"]) for m in listed] == [("malaria", False, 1)]
    assert 0 < listed[0]["bytes_needed"] < listed[0]["bytes_total"]  # the signed manifest came with the list
    assert listed[0]["signer"] == "Dr Li, Dr Wang"

    first = edge(joined, "pull", "malaria").json
    assert (first["release"], first["already_cached"], first["active"]) == ("malaria@1", False, True)
    assert first["bytes"]["coordinator"] + first["bytes"]["metadata"] > listed[0]["bytes_needed"]
    again = edge(joined, "pull", "malaria").json
    assert (again["already_cached"], again["bytes"]["coordinator"]) == (True, 0)

    result = edge(joined, "recognise", str(red), "--disease", "malaria", "--case", "A-1").json["results"][0]
    assert (result["labels"][0]["label"], result["labels"][0]["name"]["zh"]) == ("red", "疟疾")
    assert (result["prediction_set"], result["outcome"], result["case"]) == (["red"], "recognised", "A-1")
    assert (result["diagnosis"]["source"], result["diagnosis"]["kb_version"]) == ("coordinator", "online-1")
    assert [e["id"] for e in result["diagnosis"]["entries"]] == ["malaria"]


def test_offline_the_kept_list_the_cache_and_the_replica_do(
    joined: Path, coordinator: CoordinatorServer, red: Path
) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    edge(joined, "pull", "malaria")
    identity = joined / "edge" / "identity" / "identity.json"
    document = json.loads(identity.read_text())
    identity.write_text(json.dumps(document | {"urls": ["https://127.0.0.1:1"]}))

    models = edge(joined, "models")
    assert (models.json["online"], models.json["models"][0]["cached"]) == (False, True)
    assert "as of" in models.err
    assert edge(joined, "pull", "malaria").json["already_cached"]
    result = edge(joined, "recognise", str(red), "--all").json["results"][0]
    assert (result["diagnosis"]["source"], result["outcome"]) == ("replica", "recognised")
    assert edge(joined, "kb", "show", "malaria").json["name"]["zh"] == "疟疾"
    assert edge(joined, "kb", "search", "疟疾").json["results"][0]["id"] == "malaria"
    status = edge(joined, "status").json
    assert [(m["model"], m["version"], m["revoked"]) for m in status["models"]] == [("malaria", 1, None)]
    assert (status["staleness"]["days"], status["clock"]["ok"], status["groups"]) == (0, True, ["pilot"])
    assert (edge(joined, "sync").code, edge(joined, "sync").error["code"]) == (6, "edge.coordinator_unreachable")


def test_an_unreadable_picture_ends_with_3_and_the_others_are_answered(joined: Path, red: Path, tmp_path: Path) -> None:
    edge(joined, "pull", "malaria")
    broken, blue = tmp_path / "broken.jpg", tmp_path / "blue.png"
    broken.write_bytes(b"%PDF-1.7")
    blue.write_bytes(png(BLUE, edge=100))
    done = edge(joined, "recognise", str(red), str(broken), str(tmp_path / "absent.png"), str(blue), "--all")
    assert (done.code, done.error["code"]) == (3, "image.unreadable")
    document = json.loads(done.out)
    assert [r["prediction_set"] for r in document["results"]] == [["red"], ["blue"]]
    assert [e["code"] for e in document["errors"]] == ["image.unreadable", "file.not_found"]
    assert str(broken) in done.error["message"]


def test_errors_are_one_sentence_with_a_code(home: Path, coordinator: CoordinatorServer, red: Path) -> None:
    def failed(*arguments: str) -> tuple[int, str]:
        done = edge(home, *arguments)
        assert "Traceback" not in done.err
        return done.code, done.error["code"]

    assert failed("models") == (5, "edge.not_enrolled")
    assert failed("pull", "malaria") == (5, "edge.not_enrolled")
    assert failed("serve") == (5, "edge.not_enrolled")
    assert failed("join", "nonsense") == (3, "invite.malformed")
    assert failed("recognise", str(red), "--disease", "malaria") == (4, "edge.not_installed")
    assert failed("recognise", str(red), "--all") == (4, "edge.nothing_installed")
    assert failed("recognise", str(red)) == (2, "edge.recognise_what")
    assert failed("recognise", str(red), "--all", "--crop", "1,2") == (2, "edge.crop_malformed")
    assert failed("kb", "search", "x") == (4, "edge.replica_absent")
    assert failed("config", "set", "threads", "0") == (2, "edge.config_value")
    invite, coordinator.root = coordinator.invite, b"another root"
    assert failed("join", invite) == (5, "trust.root_mismatch")
    coordinator.root, coordinator.token = None, "spent"
    assert failed("join", invite) == (5, "edge.coordinator_refused")
    coordinator.ca_pem = TestAuthority().pem
    assert failed("join", invite) == (5, "edge.ca_mismatch")


def test_a_server_that_is_not_the_pinned_coordinator_is_refused(joined: Path, tmp_path: Path) -> None:
    identity = joined / "edge" / "identity" / "identity.json"
    document = json.loads(identity.read_text())
    identity.write_text(json.dumps(document | {"ca": TestAuthority().pem}))
    done = edge(joined, "models")
    assert (done.code, done.error["code"]) == (5, "edge.coordinator_foreign")


def test_settings_are_kept(home: Path) -> None:
    assert edge(home, "config", "set", "auto_update", "false").json == {"auto_update": False}
    assert edge(home, "config", "get", "auto_update").json == {"auto_update": False}
    assert edge(home, "config", "get").json["threads"] == 1


def test_remove_frees_what_no_other_model_needs(joined: Path, coordinator: CoordinatorServer) -> None:
    coordinator.simulator.publish(make_release("skin"), make_release("eyes", padding=b"x" * 5000))
    for disease in ("malaria", "skin", "eyes"):
        edge(joined, "pull", disease)
    removed = edge(joined, "cache", "remove", "eyes").json
    assert removed["removed"] == ["eyes@1"]
    assert 5000 < removed["bytes"] < 8000
    assert [r["release"] for r in edge(joined, "cache", "list").json["releases"]] == ["malaria@1", "skin@1"]
    assert edge(joined, "pull", "skin").json["already_cached"]


def _start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command_line(home, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@pytest.mark.slow
def test_a_pull_killed_at_twenty_points_leaves_the_old_release_and_is_continued(
    joined: Path, coordinator: CoordinatorServer, red: Path
) -> None:
    edge(joined, "pull", "malaria")
    release = make_release(version=2, padding=PADDING, in_chunks=True)
    coordinator.simulator.publish(release)
    coordinator.pause_s = 0.02
    partial, held = joined / "edge" / "cache" / "partial", 0
    for twentieth in range(20):
        process = _start(joined, "pull", "malaria")
        while process.poll() is None and _size(partial) < max(twentieth * len(PADDING) // 20, held + 1):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert _size(partial) >= held, "what had arrived was lost"
        held = _size(partial)
    cached = edge(joined, "cache", "list").json["releases"]
    assert [r["release"] for r in cached if r["active"]] == ["malaria@1"]
    assert edge(joined, "recognise", str(red), "--all").json["results"][0]["outcome"] == "recognised"
    coordinator.pause_s = 0.0
    pulled = edge(joined, "pull", "malaria").json
    assert pulled["release"] == "malaria@2"
    assert pulled["bytes"]["coordinator"] <= len(PADDING) - held + 100_000


def _size(folder: Path) -> int:
    """The bytes of all files below a folder that changes meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size


@pytest.mark.slow
def test_a_line_that_flaps_every_two_seconds_costs_hardly_a_byte_twice(
    coordinator: CoordinatorServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the download is asked for while the line is down."""
    monkeypatch.setenv("MEDMESH_EDGE_RETRY_S", "10")
    release = make_release(padding=random.Random(4).randbytes(9_000_000), in_chunks=True)
    coordinator.simulator.publish(release)
    coordinator.pause_s = 0.02
    with flapping(coordinator.url) as line:
        coordinator.url = line.url
        edge(home, "join", coordinator.invite)
        line.flap(up_s=2.0, down_s=2.0)
        pulled = edge(home, "pull", "malaria", timeout_s=120)
        assert pulled.json["release"] == "malaria@1"
        assert "Trying again in" in pulled.err
        assert line.breaks >= 2
        assert line.carried <= 1.1 * sum(len(data) for data in release.files.values())


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point_a_pull_leaves_old_or_new(
    joined: Path, coordinator: CoordinatorServer, red: Path, point: str
) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()[:2]), "kb-1")
    edge(joined, "pull", "malaria")
    coordinator.simulator.knowledge = (replica.build(seed_entries()[:3]), "kb-2")
    coordinator.simulator.publish(make_release(version=2, padding=PADDING[:50_000]))
    arguments = [point, "--", "pull", "malaria", "--json", "--home", str(joined)]
    killer = [sys.executable, "-m", "tests.edge_node.support.killing", *arguments]
    killed = subprocess.run(killer, env=environment(), capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    switched = point in ("after switch", "before replica", "after replica", "before sweep", "after sweep")
    result = edge(joined, "recognise", str(red), "--all").json["results"][0]
    assert (result["outcome"], result["release"]["version"]) == ("recognised", 2 if switched else 1)
    assert edge(joined, "pull", "malaria").json["release"] == "malaria@2"
    assert edge(joined, "sync").json["switched"] == []
    left = [path.name for path in (joined / "edge" / "trust").rglob("*") if path.name.startswith(("tmp", "arriving-"))]
    assert left == []


@pytest.mark.slow
def test_serve_starts_without_a_gateway_and_stops_when_told(coordinator: CoordinatorServer, home: Path) -> None:
    coordinator.simulator.node_url = NOWHERE
    edge(home, "join", coordinator.invite)
    process = _start(home, "serve")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "ready"
    assert json.loads(process.stdout.readline())["event"] == "disconnected"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out.strip().splitlines()[-1])["event"] == "stopped"


def test_commands_ignore_proxies(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "SSL_CERT_FILE"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    assert edge(joined, "models").json["online"]


def test_people_read_red_flags_before_management_and_always_the_notice(
    joined: Path, coordinator: CoordinatorServer, red: Path
) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    edge(joined, "pull", "malaria")
    spoken = [word for word in command_line(joined, "recognise", str(red), "--all") if word != "--json"]
    text = subprocess.run(spoken, capture_output=True, text=True, env=environment(), check=True).stdout
    assert 0 < text.index("Red flags") < text.index("Management") < text.index("Research use only")


def test_a_revoked_release_is_refused_with_its_reason(joined: Path, coordinator: CoordinatorServer, red: Path) -> None:
    coordinator.simulator.publish(make_release("skin"))
    for disease in ("malaria", "skin"):
        edge(joined, "pull", disease)
    coordinator.simulator.revoked["malaria@1"] = "labels were swapped"
    assert edge(joined, "recognise", str(red), "--disease", "malaria").code == 0  # not verified yet
    assert edge(joined, "sync").json["switched"] == []
    refused = edge(joined, "recognise", str(red), "--disease", "malaria")
    assert (refused.code, refused.error["code"]) == (5, "release.revoked")
    assert "labels were swapped" in refused.error["message"]
    every = edge(joined, "recognise", str(red), "--all").json
    assert [r["disease"] for r in every["results"]] == ["skin"]
    assert [r["code"] for r in every["revoked"]] == ["release.revoked"]
    assert every["staleness"]["days"] == 0
    listed = {m["model"]: m["revoked"] for m in edge(joined, "models").json["models"]}
    assert listed == {"malaria": "labels were swapped", "skin": None}
    shown = {m["model"]: m["revoked"] for m in edge(joined, "status").json["models"]}
    assert shown == listed


def test_a_revoked_node_recognises_with_a_warning_and_syncs_no_more(
    joined: Path, coordinator: CoordinatorServer, red: Path
) -> None:
    edge(joined, "pull", "malaria")
    coordinator.simulator.revoked_nodes.append(NODE)
    done = edge(joined, "sync")
    assert (done.code, done.error["code"]) == (5, "node.revoked")
    recognised = edge(joined, "recognise", str(red), "--all")
    assert recognised.json["node_revoked"]
    assert "revoked this node" in recognised.err
    assert edge(joined, "status").json["node_revoked"]
    assert edge(joined, "renew").json["renewed"] is False


def test_sync_renews_a_certificate_that_ends_soon(coordinator: CoordinatorServer, home: Path) -> None:
    coordinator.certificate_days = 29
    edge(home, "join", coordinator.invite)
    before = edge(home, "status").json["certificate_end"]
    assert edge(home, "sync").json["certificate_renewed"]
    assert edge(home, "status").json["certificate_end"] > before
    assert not edge(home, "sync").json["certificate_renewed"]


def test_an_ended_certificate_is_renewed_unless_the_node_is_revoked(coordinator: CoordinatorServer, home: Path) -> None:
    coordinator.certificate_days = -0.5
    edge(home, "join", coordinator.invite)
    coordinator.simulator.revoked_nodes.append(NODE)
    refused = edge(home, "renew")
    assert (refused.code, refused.error["code"]) == (5, "edge.coordinator_refused")
    coordinator.simulator.revoked_nodes.clear()
    assert edge(home, "renew").json["renewed"]


def test_a_coordinator_that_does_not_fit_the_clock_is_named_as_such(
    simulator: Simulator, tmp_path: Path, home: Path
) -> None:
    with time_machine.travel(datetime.now(UTC) - timedelta(days=900)):
        authority = TestAuthority()
    with serving(simulator, authority, tmp_path) as server:
        done = edge(home, "join", server.invite)
    assert (done.code, done.error["code"]) == (5, "edge.coordinator_dates")


def test_status_and_a_refused_repository(joined: Path, coordinator: CoordinatorServer) -> None:
    edge(joined, "pull", "malaria")
    coordinator.simulator.frozen = dict.fromkeys(coordinator.simulator.repository.files, b"{}")
    done = edge(joined, "sync")
    assert (done.code, done.error["code"]) == (5, "trust.malformed")
    status = edge(joined, "status").json
    assert [(e["code"], e["count"]) for e in status["events"]] == [("trust.malformed", 1)]
    assert not edge(joined, "models").json["online"]


async def test_a_node_learns_where_the_gateway_has_moved_to(joined: Path, coordinator: CoordinatorServer) -> None:
    node = Edge(joined)
    assert node.identity().node_url == coordinator.gateway.url
    coordinator.simulator.node_url = "wss://127.0.0.1:77"
    await node.upkeep()
    assert node.identity().node_url == "wss://127.0.0.1:77"
