"""Somebody far away sends images and gets a model, with nothing but a token."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import BACKBONE, Network
from tests.support.commands import run

pytestmark = pytest.mark.slow
_PATIENCE_S = 240


def test_an_uploader_trains_a_model_through_the_queue(network: Network, tmp_path: Path) -> None:
    settings = network.home / "coordinator" / "config.toml"
    settings.write_text(settings.read_text("utf-8").replace('backbone = ""', f'backbone = "{BACKBONE}"'), "utf-8")
    scopes = ("--scope", "dataset:upload", "--scope", "train")
    token = run("medmesh-coordinator", "token", "create", "--name", "ward", *scopes, home=network.home)["token"]
    away, there = tmp_path / "uploader", ("--to", network.addresses["url"], "--token", token)
    wanted = ("--disease", "malaria", "--name", "ward", "--train", "--effort", "quick")
    sent = run("medmesh-coordinator", "dataset", "upload", str(network.images), *wanted, *there, home=away)
    assert sent["accepted"] == network.report["accepted"]

    seen, deadline = set(), time.monotonic() + _PATIENCE_S
    while True:
        job = run("medmesh-coordinator", "job", "show", sent["train_job"], *there, home=away)
        seen.add((job["state"], job["part"]))
        if job["state"] not in ("queued", "running") or time.monotonic() > deadline:
            break
    assert job["state"] == "done", job
    assert (job["result"]["model"], job["result"]["version"]) == ("ward", 1)
    assert len({part for state, part in seen if state == "running" and part}) >= 1, "progress was told"
    ours = {a["role"]: a["sha256"] for a in job["result"]["artifacts"]}
    theirs = {a["role"]: a["sha256"] for a in network.trained["artifacts"]}
    assert ours["trunk"] == theirs["trunk"] and ours["head"] == theirs["head"], "the queue trains as the command does"
    shown = run("medmesh-coordinator", "model", "list", home=network.home)["models"]
    assert "ward" in {model["model"] for model in shown}
