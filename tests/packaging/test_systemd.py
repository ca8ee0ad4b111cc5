"""The units are accepted by systemd and promise what docs/operations.md says."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "packaging" / "systemd"
UNITS = ("medmesh-edge.service", "medmesh-edge-user.service")


def read(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(FOLDER / name, "utf-8")
    return unit


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine: the unit was not verified")
    installed = read(name)["Service"]["ExecStart"].split()[0]
    command = Path(sys.executable).parent / "medmesh-edge"
    unit = tmp_path / "medmesh-edge.service"
    unit.write_text((FOLDER / name).read_text("utf-8").replace(installed, str(command)), "utf-8")
    scope = ["--user"] if "user" in name else []
    done = subprocess.run(
        ["systemd-analyze", *scope, "verify", "--man=no", "--recursive-errors=one", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_a_model_out_of_memory_or_a_crash_does_not_end_the_agent_for_good(name: str) -> None:
    service = read(name)["Service"]
    assert service["ExecStart"].endswith("medmesh-edge serve --json")
    assert (service["Restart"], service["OOMPolicy"], service["KillMode"]) == ("on-failure", "continue", "mixed")
    assert service["NoNewPrivileges"] == "yes" and service["MemoryMax"] and service["LimitCORE"] == "0"
    assert service["RestartPreventExitStatus"] == "2 5"
    assert "WatchdogSec" not in service  # the agent does not report to one


def test_the_system_service_writes_only_its_own_state() -> None:
    service = read(UNITS[0])["Service"]
    assert (service["ProtectSystem"], service["ProtectHome"], service["StateDirectory"]) == ("strict", "yes", "medmesh")
    assert "MEDMESH_HOME=%S/medmesh" in service["Environment"]
    assert "u medmesh" in (FOLDER / "medmesh.sysusers").read_text("utf-8")
