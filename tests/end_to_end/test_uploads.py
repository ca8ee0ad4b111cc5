"""Uploading over a real line: both sides are killed at odd moments, and what arrived is never sent again."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import BIN, Running, call, environment, run
from tests.support.pictures import write_set

pytestmark = pytest.mark.slow
MIB = 1024 * 1024
COORDINATOR = "medmesh-coordinator"


def serve(home: Path, port: int) -> Running:
    server = Running(COORDINATOR, "serve", "--port", str(port), "--node-port", "0", "--no-zeroconf", home=home)
    server.wait_for(url=None)
    return server


def query(home: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(home / "coordinator" / "coordinator.sqlite", timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def arrived(home: Path) -> int:
    return int(query(home, "select count(*) from upload_parts")[0][0])


def until(what: Callable[[], Any], timeout_s: float = 60) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def children(home: Path) -> list[int]:
    """Processes that do a job for this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"coordinator.jobs.run" in line and str(home).encode() in line:
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uploads")
    home = folder / "home"
    run(COORDINATOR, "init", "--approvals", "1", home=home)
    token = run(COORDINATOR, "token", "create", "--scope", "dataset:upload", "--name", "North", home=home)["token"]
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    return {"folder": folder, "home": home, "token": token, "port": port, "url": f"https://127.0.0.1:{port}"}


def test_an_upload_outlives_kills_of_both_sides_and_sends_only_what_is_missing(site: dict[str, Any]) -> None:
    home, images = site["home"], write_set(site["folder"] / "cells", 20)
    (images / "notes.bin").write_bytes(os.urandom(48 * MIB))  # beside the classes: only weight
    options = ["--disease", "malaria", "--to", site["url"], "--token", site["token"]]
    command = [
        str(BIN / COORDINATOR),
        "dataset",
        "upload",
        str(images),
        *options,
        "--home",
        str(home / "none"),
        "--json",
    ]

    def client() -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def kill(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    server = serve(home, site["port"])
    try:
        first = client()
        until(lambda: arrived(home) >= 7)
        kill(first)
        had = arrived(home)
        second = client()
        until(lambda: arrived(home) >= had + 8)
        server.stop(signal.SIGKILL)
        server = serve(home, site["port"])  # the second client waits for it
        until(lambda: arrived(home) >= had + 16)
        kill(second)
        time.sleep(1)  # the part that was on its way still counts
        had, whole = arrived(home), query(home, "select size, part_bytes from uploads")
        assert len(whole) == 1 and 7 + 16 <= had < 49
        third = client()
        until(lambda: query(home, "select 1 from jobs where state = 'running'"))
        until(lambda: children(home))
        server.stop(signal.SIGKILL)
        until(lambda: not children(home), 5)  # nobody goes on with a job that its server knows nothing of
        server = serve(home, site["port"])
        out, err = third.communicate(timeout=120)
        assert third.returncode == 0, err
        report = json.loads(out)
        size, part_bytes = whole[0]
        assert report["sent_bytes"] == size - had * part_bytes
        local = run(COORDINATOR, "init", "--approvals", "1", home=site["folder"] / "local") and run(
            COORDINATOR, "dataset", "import", str(images), "--disease", "malaria", home=site["folder"] / "local"
        )
        assert {k: v for k, v in report.items() if k != "sent_bytes"} == local
        jobs = run(COORDINATOR, "job", "list", home=home)["jobs"]
        assert [(j["state"], j["attempts"]) for j in jobs] == [("done", 2)]
        until(lambda: not list((home / "coordinator" / "uploads").iterdir()))
    finally:
        server.stop()


def test_memory_stays_flat_however_much_is_sent_and_bombs_end_in_the_job(site: dict[str, Any]) -> None:
    home, folder = site["home"], site["folder"]
    large = folder / "large.zip"
    with large.open("wb") as file:
        file.truncate(300 * MIB)
    with zipfile.ZipFile(large, "a") as archive:  # what stands before a zip does not make it another file
        archive.writestr("a/1.png", b"")
    bomb = folder / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("a", "b"):
            with archive.open(f"{label}/1.png", "w") as member:
                for _ in range(150):
                    member.write(bytes(MIB))
    assert bomb.stat().st_size < MIB
    server = serve(home, site["port"])
    try:
        idle = memory_mb(server)
        options = ["--disease", "malaria", "--to", site["url"], "--token", site["token"]]
        answers = [call(COORDINATOR, "dataset", "upload", str(p), *options, home=home) for p in (large, bomb)]
        assert [(a.code, a.error["code"].split(".")[0]) for a in answers] == [(3, "intake")] * 2, answers
        most = memory_mb(server)
        assert most < 300 and most - idle < 30, (idle, most)
        assert run(COORDINATOR, "dataset", "list", home=home)["datasets"][1:] == []
    finally:
        server.stop()


def memory_mb(server: Running) -> float:
    """The most that the process ever had in memory."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
