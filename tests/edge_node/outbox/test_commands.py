"""``confirm``, ``history``, ``sync``, ``status`` and ``serve``: whole commands in processes of their own."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from PIL import Image

from disease_kb import replica
from disease_kb.seeding import seed_entries
from protocols.results.report import Confirmation
from tests.edge_node.support.commands import command_line, edge, environment
from tests.edge_node.support.releases import RED, png
from tests.edge_node.support.results import CASE, FILE, keep, result
from tests.edge_node.support.server import CoordinatorServer


@pytest.fixture(autouse=True)
def key_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDMESH_EDGE_HISTORY_KEY", "file")


def test_a_result_is_confirmed_offline_found_again_and_sent(joined: Path, coordinator: CoordinatorServer) -> None:
    first, second = keep(joined, result(1), result(2, "skin"))
    confirmed = edge(joined, "confirm", first[:8], "--label", "uninfected").json
    assert confirmed == {
        "id": first,
        "label": "uninfected",
        "entry": "normal-blood-cell",
        "predicted": "parasitized",
        "state": "queued",
    }
    listed = edge(joined, "history").json["results"]
    assert [(r["id"], r["state"], r["confirmed"] and r["confirmed"]["label"]) for r in listed] == [
        (second, "queued", None),
        (first, "queued", "uninfected"),
    ]
    assert [r["id"] for r in edge(joined, "history", "--search", f"{CASE}-1").json["results"]] == [first]
    assert [r["id"] for r in edge(joined, "history", "--disease", "skin", "--limit", "5").json["results"]] == [second]
    status = edge(joined, "status")
    assert (status.json["outbox"]["queued"], status.json["outbox"]["key_place"]) == (3, "file")

    synced = edge(joined, "sync").json["outbox"]
    assert (synced["sent"], synced["queued"], synced["error"]) == (3, 0, None)
    assert list(coordinator.gateway.stored)[:2] == [first, second]
    word = list(coordinator.gateway.stored.values())[2]
    assert isinstance(word, Confirmation) and (word.result, word.label) == (first, "uninfected")
    assert {r["state"] for r in edge(joined, "history").json["results"]} == {"sent"}
    outbox = edge(joined, "status").json["outbox"]
    assert (outbox["queued"], outbox["acknowledged"]) == (0, 3)
    assert outbox["wire_bytes"] > 0

    connections = coordinator.gateway.connections
    assert edge(joined, "sync").json["outbox"]["sent"] == 0
    assert coordinator.gateway.connections == connections, "nothing queued, nobody called"


def test_show_tells_it_all_again(joined: Path) -> None:
    (first,) = keep(joined, result(1))
    shown = edge(joined, "history", "show", first).json
    assert shown["result"] == {"id": first, **result(1)}


def test_a_node_without_a_history_makes_none_by_looking(home: Path) -> None:
    assert edge(home, "history").json == {"results": [], "unreadable": 0}
    assert edge(home, "status").json["outbox"]["results"] == 0
    for arguments in (("history", "show", "abcd"), ("confirm", "abcd", "--label", "x"), ("history", "forget", "abcd")):
        done = edge(home, *arguments)
        assert (done.code, done.error["code"]) == (4, "outbox.empty")
    assert not (home / "edge" / "outbox").exists()


def test_errors_are_one_sentence_with_a_code(home: Path) -> None:
    (first,) = keep(home, result(1))

    def failed(*arguments: str) -> tuple[int, str]:
        done = edge(home, *arguments)
        assert "Traceback" not in done.err
        return done.code, done.error["code"]

    assert failed("confirm", "ffff", "--label", "uninfected") == (4, "outbox.unknown_result")
    assert failed("confirm", first, "--label", "Mr Wang") == (2, "outbox.label_unknown")
    assert failed("confirm", first) == (2, "usage")
    assert failed("history", "forget", first) == (2, "outbox.forget_sure")
    assert failed("history", "forget") == (2, "outbox.forget_what")
    assert failed("history", "forget", first, "--older-than", "3", "--yes") == (2, "outbox.forget_what")
    assert failed("history", "export", str(home / "x"), "--format", "fhir", "--with-case") == (2, "usage")
    assert failed("history", "nonsense") == (2, "usage")
    assert [r["id"] for r in edge(home, "history").json["results"]] == [first]


def test_exports_leave_cases_out_unless_asked(joined: Path, coordinator: CoordinatorServer, tmp_path: Path) -> None:
    coordinator.simulator.knowledge = (replica.build(seed_entries()), "kb-1")
    ids = keep(joined, *(result(number) for number in range(3)))
    edge(joined, "confirm", ids[0], "--label", "parasitized")
    edge(joined, "sync")
    table, bundle, private = tmp_path / "t.csv", tmp_path / "b.json", tmp_path / "p.csv"
    assert edge(joined, "history", "export", str(table)).json["results"] == 3
    edge(joined, "history", "export", "--format", "fhir", str(bundle))
    edge(joined, "history", "export", "--with-case", str(private))
    for path in (table, bundle, private):
        text = path.read_text("utf-8")
        assert (CASE in text, FILE in text) == ((path == private),) * 2
        assert path.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(private.read_text("utf-8-sig").splitlines()))
    assert [(r["id"], r["case"]) for r in rows] == [(ids[n], f"{CASE}-{n}") for n in (2, 1, 0)]
    document = json.loads(bundle.read_text("utf-8"))
    Bundle.model_validate(document)
    assert [e["resource"]["status"] for e in document["entry"]] == ["preliminary", "preliminary", "final"]
    assert '"B54"' in bundle.read_text("utf-8")
    again = edge(joined, "history", "export", str(table))
    assert (again.code, again.error["code"]) == (5, "results.export_exists")
    assert edge(joined, "history", "export", str(table), "--force").code == 0


def test_forgetting_takes_yes_and_tells_what_was_never_sent(home: Path) -> None:
    ids = keep(home, result(1), result(2))
    done = edge(home, "history", "forget", ids[0], "--yes").json
    assert done == {"forgotten": [ids[0]], "unsent": 1}
    assert edge(home, "history", "forget", "--older-than", "1", "--yes").json["forgotten"] == []
    assert [r["id"] for r in edge(home, "history").json["results"]] == [ids[1]]


def test_sync_without_a_gateway_updates_the_rest_and_ends_with_6(joined: Path, coordinator: CoordinatorServer) -> None:
    keep(joined, result(1))
    identity = joined / "edge" / "identity" / "identity.json"
    dead = json.loads(identity.read_text()) | {"node_url": "wss://127.0.0.1:1"}
    identity.write_text(json.dumps(dead))
    coordinator.simulator.node_url = "wss://127.0.0.1:1"
    done = edge(joined, "sync")
    assert (done.code, done.error["code"]) == (6, "edge.gateway_unreachable")
    document = json.loads(done.out)
    assert document["outbox"]["queued"] == 1 and document["serial"] == coordinator.simulator.serial
    coordinator.simulator.node_url = coordinator.gateway.url
    assert edge(joined, "sync").json["outbox"]["sent"] == 1, "it asks where the gateway is now"


def test_an_older_coordinator_and_a_refusal_are_told_apart(joined: Path, coordinator: CoordinatorServer) -> None:
    keep(joined, result(1))
    coordinator.gateway.accepts = ()
    older = edge(joined, "sync")
    assert (older.code, older.error["code"]) == (6, "outbox.coordinator_older")
    coordinator.gateway.turns_away = True
    revoked = edge(joined, "sync")
    assert (revoked.code, revoked.error["code"]) == (5, "gateway.refused")
    assert edge(joined, "status").json["outbox"]["queued"] == 1


def test_recognise_saves_unless_told_not_to(joined: Path, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    picture.write_bytes(png(RED, edge=100))
    edge(joined, "pull", "malaria")
    shown = edge(joined, "recognise", str(picture), "--all", "--case", "A-1").json["results"]
    edge(joined, "recognise", str(picture), "--all", "--no-save")
    listed = edge(joined, "history").json["results"]
    assert [(r["id"], r["case"]) for r in listed] == [(shown[0]["id"], "A-1")]
    copy = tmp_path / "copy.webp"
    again = edge(joined, "history", "show", shown[0]["id"], "--picture", str(copy)).json
    assert again["result"] == shown[0]
    assert again["picture_bytes"] == copy.stat().st_size <= 150_000
    with Image.open(copy) as kept:
        assert kept.convert("RGB").getpixel((10, 10)) == RED and not kept.getexif()


def test_a_damaged_history_is_shown_by_status_and_stops_nothing_else(joined: Path, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    picture.write_bytes(png(RED, edge=100))
    edge(joined, "pull", "malaria")
    path = joined / "edge" / "outbox" / "history.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"damaged" * 1000)
    status = edge(joined, "status").json
    assert status["outbox"]["error"]["code"] == "outbox.damaged"
    assert status["enrolled"]
    recognised = edge(joined, "recognise", str(picture), "--all")
    assert (recognised.code, recognised.error["code"]) == (3, "outbox.damaged")
    assert json.loads(recognised.out)["results"][0]["outcome"] == "recognised"
    synced = edge(joined, "sync")
    assert (synced.code, synced.error["code"]) == (3, "outbox.damaged")
    assert json.loads(synced.out)["serial"] >= 1


def test_status_warns_that_the_key_is_in_a_file(home: Path) -> None:
    keep(home, result(1))
    words = [word for word in command_line(home, "status") if word != "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
    assert "key is in a file" in done.stderr


def test_serve_sends_what_other_commands_queue(joined: Path, coordinator: CoordinatorServer) -> None:
    process = subprocess.Popen(
        command_line(joined, "serve"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    try:
        (first,) = keep(joined, result(1))
        assert edge(joined, "confirm", first, "--label", "uninfected").code == 0
        records = 0
        while records < 2:
            event = json.loads(process.stdout.readline())
            records += event["records"] if event["event"] == "sent" else 0
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert (records, len(coordinator.gateway.stored), next(iter(coordinator.gateway.stored))) == (2, 2, first)
    assert coordinator.gateway.connections == 1, "over the line that it has"


def test_people_read_it_in_chinese(home: Path) -> None:
    (first,) = keep(home, result(1))
    for arguments, expected in (
        (("history",), "疟疾"),
        (("confirm", first, "--label", "uninfected"), "已保存"),
        (("status",), "条待发送"),
    ):
        words = [w for w in command_line(home, *arguments) if w not in ("--json", "--lang", "en")]
        done = subprocess.run([*words, "--lang", "zh"], capture_output=True, text=True, env=environment(), check=True)
        assert expected in done.stdout
