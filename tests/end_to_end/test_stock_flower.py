"""The same app as an ordinary Flower App: ``flwr run`` on a stock SuperLink with two SuperNodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from coordinator.federation.server_app import REPORT, RESULT, StartFile
from protocols.federation.head import Head, Standard
from tests.end_to_end.test_federation import free_port
from tests.support.commands import BIN
from tests.support.federation import FEATURES, LABELS, SUBJECT, balanced, drawn_site

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "medmesh-federation"
version = "0.1.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "medmesh"

[tool.flwr.app.components]
serverapp = "medmesh_federation:server"
clientapp = "medmesh_federation:client"

[tool.flwr.app.config]
start = ""
folder = ""
rounds = 1
"""
MODULE = """
from coordinator.federation import server_app
from edge_node.federation import stock

server = server_app.app
client = stock.app
"""


@contextmanager
def started(folder: Path, *command: str) -> Iterator[None]:
    """A program of Flower's with its own children, ended as a whole."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            stdout=log,
            stderr=log,
            env=environment(folder),
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment(folder: Path) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # Flower starts its own programs by name
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    return {**os.environ, **quiet, "FLWR_HOME": str(folder), "PATH": path}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_flwr_run_refines_the_head_on_a_stock_superlink(tmp_path: Path) -> None:
    sites = [drawn_site(i) for i in range(2)]
    for number, site in enumerate(sites):
        groups = np.array([f"patient {i // 2}" for i in range(len(site.labels))])
        np.savez(
            tmp_path / f"site{number}.npz",
            features=site.features,
            labels=site.labels,
            names=np.array(site.names),
            groups=groups,
        )
    standard = Standard.of(np.concatenate([s.features for s in sites]))
    zero = Head(np.zeros((FEATURES, 2), np.float32), np.zeros(2, np.float32))
    StartFile(SUBJECT, LABELS, zero, standard).save(tmp_path / "start.npz")
    app, out, port = tmp_path / "app", tmp_path / "out", free_port()
    app.mkdir()
    (app / "pyproject.toml").write_text(PROJECT)
    (app / "medmesh_federation.py").write_text(MODULE)
    (tmp_path / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    link = ("flower-superlink", "--insecure", "--port", str(port), "--disable-runtime-dependency-installation")
    node = ("flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}")
    nodes = [
        (*node, "--port", str(free_port()), "--node-config", f'data="{tmp_path / f"site{n}.npz"}"') for n in (0, 1)
    ]
    with started(tmp_path, *link), started(tmp_path, *nodes[0]), started(tmp_path, *nodes[1]):
        log = tmp_path / "log.txt"
        end = time.monotonic() + 90
        while log.read_text("utf-8", "replace").count("SuperNode ID") < 2:
            assert time.monotonic() < end, log.read_text("utf-8", "replace")[-3000:]
            time.sleep(0.2)
        settings = f'start="{tmp_path / "start.npz"}" folder="{out}"'
        subprocess.run(
            [str(BIN / "flwr"), "run", str(app), "-c", settings],
            env=environment(tmp_path),
            check=True,
            capture_output=True,
            timeout=90,
        )
        end = time.monotonic() + 240
        while not (out / REPORT).exists():
            assert time.monotonic() < end, log.read_text("utf-8", "replace")[-3000:]
            time.sleep(0.5)
    report = json.loads((out / REPORT).read_text("utf-8"))
    assert (report["round"], report["sites"]) == (1, 2)
    assert report["verdict"]["global"]["sites"] == 2
    with np.load(out / RESULT) as found:
        head = Head(found["weights"], found["bias"])
    assert balanced(sites, head, standard) > 0.8
