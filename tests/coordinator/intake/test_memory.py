"""Bombs stay small: neither the coordinator nor a worker of it grows beyond 300 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coordinator.bootstrap import Coordinator
from tests.conftest import ROOT
from tests.support.bombs import BOMB_BYTES, huge_png, text_bomb, zip_bomb
from tests.support.pictures import write_set

LIMIT_BYTES = 300_000_000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in kB")


def measured(coordinator: Coordinator, source: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.measured_import", str(coordinator.home.root), str(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["parent"] < LIMIT_BYTES and found["workers"] < LIMIT_BYTES, found
    return found


def test_picture_bombs(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 4)
    (folder / "groups.csv").unlink()
    bombs = {"huge.png": huge_png(), "text.png": text_bomb(b"zTXt"), "profile.png": text_bomb(b"iCCP")}
    for name, data in bombs.items():
        assert len(data) < 400_000
        (folder / "uninfected" / name).write_bytes(data)
    with (folder / "uninfected" / "zeros.jpg").open("wb") as file:
        file.truncate(BOMB_BYTES)
    outcome = measured(coordinator, folder)["outcome"]
    assert outcome["uninfected/huge.png"] == "image.too_large"
    assert outcome["uninfected/text.png"] == outcome["uninfected/zeros.jpg"] == "image.unreadable"


def test_zip_bomb(coordinator: Coordinator, tmp_path: Path) -> None:
    source = tmp_path / "bomb.zip"
    source.write_bytes(zip_bomb())
    assert source.stat().st_size < 400_000
    assert measured(coordinator, source)["outcome"] == {"": "intake.zip.bad_entry"}
