"""Whole commands in processes of their own, against a coordinator on loopback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from disease_kb import replica
from disease_kb.diagnosis import diagnosis_aid
from disease_kb.seeding import seed_entries
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.commands import command_line, edge, environment
from tests.edge_node.support.releases import BLUE, RED, make_release, png
from tests.edge_node.support.server import CoordinatorServer

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
    assert listed[0]["bytes_needed"] == listed[0]["bytes_total"] > 0

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
    assert edge(joined, "status").json["models"] == [{"disease": "malaria", "model": "malaria", "version": 1}]
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
    invite, coordinator.token = coordinator.invite, "spent"
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
def test_a_killed_pull_leaves_the_old_release_or_the_new_and_is_continued(
    joined: Path, coordinator: CoordinatorServer, red: Path
) -> None:
    edge(joined, "pull", "malaria")
    coordinator.simulator.publish(make_release(version=2, padding=PADDING))
    coordinator.pause_s = 0.002
    chance = random.Random(5)
    for _ in range(12):
        process = _start(joined, "pull", "malaria")
        time.sleep(0.25 + chance.random() * 0.6)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        cached = edge(joined, "cache", "list").json["releases"]
        active = [r["release"] for r in cached if r["active"]]
        assert active in (["malaria@1"], ["malaria@2"])
        assert edge(joined, "recognise", str(red), "--all").json["results"][0]["outcome"] == "recognised"
    coordinator.pause_s = 0.0
    assert edge(joined, "pull", "malaria").json["release"] == "malaria@2"
    padding = f"/v1/artifacts/{make_release(padding=PADDING).manifest.artifacts[-1].sha256}"
    assert any(path == padding and asked for path, asked in coordinator.requests), "nothing was continued"


@pytest.mark.slow
def test_serve_starts_without_a_gateway_and_stops_when_told(joined: Path) -> None:
    process = _start(joined, "serve")
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
