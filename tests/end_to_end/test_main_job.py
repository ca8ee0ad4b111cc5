"""From images to a diagnosis aid through the public commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.store.blobs import FolderBlobs
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines, StageRunner
from tests.conftest import ROOT
from tests.end_to_end.conftest import BACKBONE, Network, draw_set, models_in, release
from tests.support.commands import BIN, Running, call, environment, inside, run

pytestmark = pytest.mark.slow


def manifest_of(network: Network) -> tuple[ReleaseManifest, FolderBlobs]:
    shown = run("medmesh-coordinator", "model", "show", "malaria@1", home=network.home)
    blobs = FolderBlobs(network.home / "coordinator" / "artifacts")
    return ReleaseManifest.from_bytes(blobs.path(shown["manifest"]).read_bytes()), blobs


def test_training_answers_as_the_contract_says(network: Network) -> None:
    trained = network.trained
    for key in ("model", "version", "dataset", "backbone", "taps", "rungs", "metrics", "seconds", "artifacts"):
        assert key in trained
    assert trained["features_computed"] == 120 and trained["features_cached"] == 0
    assert {r["name"] for r in trained["rungs"]} >= {"last pool"}
    assert [a["role"] for a in trained["artifacts"]] == ["trunk", "head", "novelty", "golden"]


def test_trained_again_elsewhere_gives_the_same_head(network: Network, tmp_path: Path) -> None:
    run("medmesh-coordinator", "init", "--approvals", "1", home=tmp_path)
    run("medmesh-coordinator", "dataset", "import", str(network.images), "--disease", "malaria", home=tmp_path)
    for folder in ("backbones", "artifacts"):  # that the trunk comes out the same was a gate of the release
        shutil.copytree(network.home / "coordinator" / folder, tmp_path / "coordinator" / folder, dirs_exist_ok=True)
    again = run("medmesh-coordinator", "train", "malaria", "--backbone", BACKBONE, "--effort", "quick", home=tmp_path)
    assert again["artifacts"] == network.trained["artifacts"]


def test_the_trunk_of_a_release_came_out_the_same_twice(network: Network) -> None:
    shown = run("medmesh-coordinator", "release", "show", "malaria@1", home=network.home)
    (gate,) = [g for g in shown["gates"] if g["name"] == "converted_twice"]
    assert gate["ok"] and network.trained["artifacts"][0]["sha256"] in gate["detail"]


def test_importing_more_images_computes_only_those(network: Network, tmp_path: Path) -> None:
    more = tmp_path / "more"
    draw_set(more, seed=12, patients=10, cells_each=10)
    name = ("--name", "grown")
    for source in (network.images, more):
        report = run(
            "medmesh-coordinator", "dataset", "import", str(source), "--disease", "malaria", *name, home=network.home
        )
    assert report["accepted"] == 100
    trained = run(
        "medmesh-coordinator", "train", "grown", "--backbone", BACKBONE, "--effort", "quick", home=network.home
    )
    assert (trained["features_computed"], trained["features_cached"]) == (100, 120)


def test_node_joins_pulls_recognises_and_goes_on_alone(network: Network, tmp_path: Path) -> None:
    node = network.join(tmp_path / "clinic")
    (listed,) = [m for m in run("medmesh-edge", "models", home=node)["models"] if m["model"] == "malaria"]
    assert not listed["cached"] and listed["bytes_needed"] > 1_000_000
    first = run("medmesh-edge", "pull", "malaria", home=node)
    assert first["active"] and first["bytes"]["coordinator"] > 1_000_000
    second = run("medmesh-edge", "pull", "malaria", home=node)
    assert second["already_cached"] and second["bytes"]["coordinator"] == 0

    image = str(next((network.images / "parasitized").iterdir()))
    online = run("medmesh-edge", "recognise", image, "--disease", "malaria", home=node)["results"][0]
    assert online["diagnosis"]["source"] == "coordinator"
    assert {x["label"] for x in online["labels"]} == {"parasitized", "uninfected"}
    assert set(online["prediction_set"]) <= {"parasitized", "uninfected"} and online["prediction_set"]
    for entry in online["diagnosis"]["entries"]:
        assert entry["review_status"] == "draft" and entry["management"]["zh"] and entry["management"]["en"]

    os.kill(network.server._process.pid, signal.SIGSTOP)  # a coordinator that is silent, the worst kind of gone
    try:
        started = time.monotonic()
        offline = run("medmesh-edge", "recognise", image, "--all", home=node)["results"][0]
        assert time.monotonic() - started < 15
    finally:
        os.kill(network.server._process.pid, signal.SIGCONT)
    assert offline["diagnosis"]["source"] == "replica"
    assert offline["labels"] == online["labels"]
    assert offline["diagnosis"]["entries"] == online["diagnosis"]["entries"]


def test_second_disease_costs_a_node_with_the_trunk_tens_of_kilobytes(network: Network, tmp_path: Path) -> None:
    node = network.join(tmp_path / "clinic")
    run("medmesh-edge", "pull", "malaria", home=node)
    other = tmp_path / "other"
    draw_set(other, seed=77, patients=8, cells_each=10)
    run("medmesh-coordinator", "dataset", "import", str(other), "--disease", "anaemia", home=network.home)
    run("medmesh-coordinator", "train", "anaemia", "--backbone", BACKBONE, "--effort", "quick", home=network.home)
    release(network.home, "anaemia@1")
    pulled = run("medmesh-edge", "pull", "anaemia", home=node)
    assert sum(pulled["bytes"].values()) <= 150_000
    cached = {m["disease"] for m in run("medmesh-edge", "models", home=node)["models"] if m["cached"]}
    assert cached == {"malaria", "anaemia"}
    image = str(next((network.images / "uninfected").iterdir()))
    results = run("medmesh-edge", "recognise", image, "--all", home=node)["results"]
    assert {r["disease"] for r in results} == {"malaria", "anaemia"}
    unmapped = next(r for r in results if r["disease"] == "anaemia")["diagnosis"]
    assert unmapped["entries"] == [] or all(e["id"] != "malaria" for e in unmapped["entries"])


def test_discovery_lists_the_coordinator_as_trusted_only_to_its_own_node(network: Network, tmp_path: Path) -> None:
    node = network.join(tmp_path / "clinic")
    found = run("medmesh-edge", "discover", home=node)["found"]
    assert any(x["trusted"] and x["role"] == "coordinator" for x in found)


def test_websocket_notice_reaches_a_serving_node(network: Network, tmp_path: Path) -> None:
    node = network.join(tmp_path / "clinic")
    agent = Running("medmesh-edge", "serve", home=node)
    try:
        agent.wait_for(event="ready")
        run("medmesh-coordinator", "release", "pause", "malaria@1", home=network.home)
        run("medmesh-coordinator", "release", "rollout", "malaria@1", "--percent", "100", home=network.home)
        agent.wait_for(event="notice", timeout_s=10)
    finally:
        assert agent.stop() == 0


def test_single_file_gives_the_numbers_of_the_pipeline(network: Network, tmp_path: Path) -> None:
    target = tmp_path / "one.tflite"
    run("medmesh-coordinator", "model", "export", "malaria", "--single-file", str(target), home=network.home)
    manifest, blobs = manifest_of(network)
    single, pipelines = StageRunner(target), Pipelines(blobs.path)
    generator = np.random.default_rng(4)
    for _ in range(5):
        pixels = generator.uniform(-1, 1, (1, 75, 75, 3)).astype(np.float32)
        output = single.run({"image": pixels})
        assert (output["logits"][0] == pipelines.logits(manifest, pixels, {})).all()
        assert output["scores"].sum() == pytest.approx(1, abs=1e-5)


def test_evaluation_runs_the_released_files(network: Network, tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    arguments = ["malaria", "--on", str(network.images), "--save-predictions", str(table)]
    figures = run("medmesh-coordinator", "evaluate", *arguments, home=network.home)
    assert figures["n"] == 120 and figures["groups"] == 12
    assert figures["balanced_accuracy"]["low"] <= figures["balanced_accuracy"]["value"]
    assert sum(sum(row.values()) for row in figures["confusion"].values()) == 120
    rows = table.read_text("utf-8").splitlines()
    header = "file,group,label,predicted,outcome,parasitized,uninfected,prediction_set,reasons,novelty"
    assert rows[0] == header and len(rows) == 121


@pytest.mark.parametrize(
    ("command", "arguments", "code", "exit_code"),
    [
        ("medmesh-coordinator", ["dataset", "import", "nowhere.zip", "--disease", "x"], "file.not_found", 4),
        ("medmesh-coordinator", ["dataset", "import", __file__, "--disease", "x"], "intake.not_a_dataset", 3),
        ("medmesh-coordinator", ["dataset", "show", "nope"], "dataset.unknown", 4),
        ("medmesh-coordinator", ["train", "nope"], "dataset.unknown", 4),
        ("medmesh-coordinator", ["train", "malaria", "--backbone", "resnet"], "backbone.unknown", 2),
        ("medmesh-coordinator", ["train", "malaria", "--backbone", "file:/nowhere.h5"], "file.not_found", 4),
        ("medmesh-coordinator", ["train", "malaria", "--effort", "heroic"], "usage", 2),
        (
            "medmesh-coordinator",
            ["train", "malaria", "--backbone", BACKBONE, "--budget-kb", "1"],
            "train.over_budget",
            5,
        ),
        ("medmesh-coordinator", ["evaluate", "malaria", "--on", "nowhere"], "file.not_found", 4),
        ("medmesh-coordinator", ["model", "show", "malaria@99"], "model.unknown", 4),
        ("medmesh-coordinator", ["release", "approve", "malaria@1"], "release.wrong_state", 5),
        ("medmesh-coordinator", ["release", "propose", "malaria@1"], "release.exists", 5),
        ("medmesh-coordinator", ["release", "show", "nope@1"], "release.unknown", 4),
        ("medmesh-coordinator", ["init"], "coordinator.exists", 5),
        ("medmesh-coordinator", ["no-such-command"], "usage", 2),
        ("medmesh-edge", ["models"], None, None),
        ("medmesh-edge", ["pull", "malaria"], None, None),
        ("medmesh-edge", ["join", "nonsense"], "invite.malformed", 3),
        ("medmesh-edge", ["recognise", "nowhere.jpg"], "edge.recognise_what", 2),
    ],
)
def test_every_error_is_one_sentence_with_a_code(
    network: Network, tmp_path: Path, command: str, arguments: list[str], code: str | None, exit_code: int | None
) -> None:
    home = network.home if command == "medmesh-coordinator" else tmp_path
    answer = inside(command, *arguments, home=home)
    if code is not None:
        assert answer.error["code"] == code and answer.code == exit_code
    assert answer.code in (2, 3, 4, 5, 6)
    assert answer.error["message"] and answer.error["remedy"]
    assert "Traceback" not in answer.stderr


def test_commands_without_a_home_say_what_to_do(tmp_path: Path) -> None:
    answer = call("medmesh-coordinator", "dataset", "list", home=tmp_path)
    assert (answer.code, answer.error["code"]) == (4, "coordinator.not_initialised")
    assert "init" in answer.error["remedy"]


@pytest.mark.parametrize("seconds", [0.7, 2.0, 4.0])  # in its later parts: test_stopped_training.py
def test_killed_training_leaves_the_models_as_they_were(network: Network, seconds: float) -> None:
    before = models_in(network.home)
    process = subprocess.Popen(
        [str(BIN / "medmesh-coordinator"), "train", "malaria", "--backbone", BACKBONE, "--home", str(network.home), "--json"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True,
    )  # fmt: skip
    time.sleep(seconds)
    finished = process.poll() is not None
    os.killpg(process.pid, signal.SIGKILL) if not finished else None
    process.wait()
    after = models_in(network.home)
    if not finished:
        assert after == before


def test_recognition_needs_no_tensorflow(network: Network, tmp_path: Path) -> None:
    """An environment of its own, made from requirements/edge.txt alone."""
    venv = tmp_path / "venv"
    uv = BIN / "uv"
    subprocess.run([str(uv), "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    python = venv / "bin" / "python"
    install = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "edge.txt")], check=True)
    subprocess.run([*install, "hatchling", "editables"], check=True)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", str(ROOT)], check=True)
    names = {p.name.lower() for p in (venv / "lib").glob("python*/site-packages/*")}
    assert not names & {"tensorflow", "keras", "sklearn", "sqlalchemy", "kivy"}
    node = network.join(tmp_path / "clinic")
    run("medmesh-edge", "pull", "malaria", home=node, bin_=venv / "bin")
    image = str(next((network.images / "uninfected").iterdir()))
    result = run("medmesh-edge", "recognise", image, "--disease", "malaria", home=node, bin_=venv / "bin")
    assert result["results"][0]["outcome"] in ("recognised", "unsure", "poor_quality")


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_readme_names_only_commands_and_options_that_exist(readme: str) -> None:
    from typer.main import get_command

    from coordinator.cli.app import app as coordinator
    from disease_kb.cli import app as knowledge
    from edge_node.cli.app import app as edge

    commands = {
        f"medmesh-{name}": app for name, app in (("coordinator", coordinator), ("edge", edge), ("kb", knowledge))
    }
    checked = 0
    for line in (ROOT / readme).read_text("utf-8").splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] not in commands:
            continue
        command: Any = get_command(commands[words[0]])
        for word in words[1:]:
            if not hasattr(command, "commands") or word not in command.commands:
                break
            command = command.commands[word]
        command = getattr(command, "commands", {}).get("list", command)  # what a group does by itself
        assert len(words) == 1 or command.name != get_command(commands[words[0]]).name, f"no such command: {line}"
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
        checked += 1
    assert checked > 20


def test_json_stays_on_stdout_and_talk_on_stderr(network: Network) -> None:
    done = subprocess.run(
        [str(BIN / "medmesh-coordinator"), "dataset", "list", "--home", str(network.home), "--json"],
        capture_output=True, text=True, env=environment(), check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["datasets"]
