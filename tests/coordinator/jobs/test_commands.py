"""``token`` and ``job`` as people use them, here and at a coordinator elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.cli.app import app
from protocols.console import run
from tests.support.uploads import Serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("home")) as found:
        yield found


class Commands:
    """Runs commands in this process; returns exit code and document."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home, self._capsys = home, capsys

    def __call__(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run(app, [*arguments, "--home", str(self._home), "--json"])
        out, err = self._capsys.readouterr()
        code = int(stopped.value.code or 0)
        return code, json.loads(out) if code == 0 else json.loads(err.strip().splitlines()[-1])["error"]


@pytest.fixture
def command(served: Serving, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(served.office.coordinator.home.root, capsys)


def test_a_job_is_queued_shown_and_cancelled_here(command: Commands) -> None:
    code, job = command("job", "train", "malaria", "--effort", "quick")
    assert (code, job["state"], job["kind"], job["owner"]) == (0, "queued", "train", "")
    assert job["job"] in [j["job"] for j in command("job", "list")[1]["jobs"]]
    assert command("job", "show", job["job"])[1]["subject"] == "malaria"
    assert command("job", "cancel", job["job"])[1]["state"] == "cancelled"
    assert command("job", "show", job["job"], "--lang", "zh")[1]["error"]["remedy"] == "如非本意，请重新开始。"
    code, error = command("job", "cancel", job["job"])
    assert (code, error["code"]) == (5, "job.ended")
    assert command("job", "show", "nothing")[0] == 4
    assert command("job", "train", "malaria", "--effort", "heroic")[0] == 2
    assert command("job", "train", "no such data set")[0] == 4


def test_the_same_commands_reach_a_coordinator_elsewhere(
    served: Serving, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDMESH_TOKEN", raising=False)
    there = ["--to", served.url]
    assert command("job", "list", *there)[1]["code"] == "usage"
    made = command("token", "create", "--scope", "train", "--name", "North")[1]
    monkeypatch.setenv("MEDMESH_TOKEN", made["token"])
    code, error = command("job", "train", "malaria", *there)
    assert (code, error["code"]) == (4, "dataset.unknown")
    assert command("job", "list", *there) == (0, {"jobs": []})
    assert command("job", "cancel", "0" * 10, *there)[1]["code"] == "job.unknown"
    assert command("token", "revoke", made["id"])[0] == 0
    code, error = command("job", "list", *there)
    assert (code, error["code"]) == (5, "token.refused")
    listed = {r["id"]: r["state"] for r in command("token", "list")[1]["tokens"]}
    assert listed[made["id"]] == "revoked"


@pytest.mark.parametrize(
    "options", [["--scope", "all"], ["--scope", "train", "--name", "a\nb"], ["--scope", "train", "--name", " "]]
)
def test_tokens_that_make_no_sense_are_not_made(command: Commands, options: list[str]) -> None:
    before = command("token", "list")[1]
    assert command("token", "create", *options)[0] == 2
    assert command("token", "list")[1] == before
