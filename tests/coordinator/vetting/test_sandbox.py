from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coordinator.errors import CoordinatorError
from coordinator.vetting.confine import Rights
from coordinator.vetting.sandbox import Bounds, Sandbox

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is Linux's")
BOUNDS = Bounds(3, Rights(memory_mb=2048, cpu_s=1))
JOBS = "tests.coordinator.vetting.odd_jobs"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def room(tmp_path: Path) -> Path:
    found = tmp_path / "room"
    found.mkdir()
    if os.geteuid() == 0:
        os.chown(found, 65534, 65534)
    return found


@pytest.mark.parametrize(
    ("job", "code", "shown"),
    [
        ("crash", "vetting.crashed", "SIGSEGV"),
        ("hang", "vetting.timed_out", "3 s"),
        ("compute", "vetting.timed_out", "3 s"),
        ("fill", "vetting.memory", "2048 MB"),
        ("fail", "vetting.crashed", "LookupError"),
        ("babble", "vetting.nonsense", ""),
        ("lie", "vetting.nonsense", ""),
    ],
)
def test_however_a_job_ends_the_sandbox_says_so_and_goes_on(
    sandbox: Sandbox, room: Path, job: str, code: str, shown: str
) -> None:
    with pytest.raises(CoordinatorError) as caught:
        sandbox.run(f"{JOBS}:{job}", {}, room, BOUNDS)
    assert caught.value.code == code
    assert shown in caught.value.message()


def test_a_job_that_was_taken_over_reaches_nothing(sandbox: Sandbox, room: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    key = keys / "online.pem"
    key.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = {"key": str(key), "port": server.getsockname()[1]}
        tried = sandbox.run(f"{JOBS}:look_around", arguments, room, BOUNDS)
    if tried.sandbox["files"] == "on":
        for act in ("read a key", "list its folder", "write", "write elsewhere"):
            assert tried.result[act] == "PermissionError", act
    if tried.sandbox["calls"] == "on":
        for act in ("fork", "execute", "signal its parent"):
            assert tried.result[act] in ("PermissionError", "BlockingIOError"), act
    if tried.sandbox["network"] == "on":
        assert tried.result["connect"] in ("PermissionError", "OSError", "ConnectionRefusedError")
    assert tried.result["environment"] == "empty"
    assert tried.result["own room"] == "done"
    assert not (room / "left").exists()


def test_a_home_beside_the_program_is_out_of_reach_too(sandbox: Sandbox, room: Path) -> None:
    with TemporaryDirectory(dir=Path(__file__).parent.parent.parent.parent, prefix=".home-") as beside:
        (Path(beside) / "online.pem").write_text("secret")
        arguments = {"key": f"{beside}/online.pem", "port": 9}
        tried = sandbox.run(f"{JOBS}:look_around", arguments, room, BOUNDS)
    assert tried.sandbox["files"] != "on" or tried.result["read a key"] == "PermissionError"


def test_the_protections_of_this_machine_are_named(sandbox: Sandbox, room: Path) -> None:
    tried = sandbox.run(f"{JOBS}:look_around", {"key": "/x/y", "port": 9}, room, BOUNDS)
    assert set(tried.sandbox) == {"network", "user", "capabilities", "privileges", "files", "calls", "limits"}
    assert tried.sandbox["limits"] == tried.sandbox["privileges"] == "on"


def test_the_sandbox_leaves_no_process_behind(room: Path) -> None:
    with Sandbox() as running:
        process = running._process
        with pytest.raises(CoordinatorError):
            running.run(f"{JOBS}:hang", {}, room, Bounds(0.3, BOUNDS.rights))
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
