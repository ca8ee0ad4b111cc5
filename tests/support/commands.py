"""Running the three commands as a person would: as processes, with JSON answers."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protocols import console

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    document: dict[str, Any]
    error: dict[str, Any]
    stderr: str


def environment() -> dict[str, str]:
    """As a person's shell, without what would change language or home, and without a real keystore."""
    kept = {k: v for k, v in os.environ.items() if k not in ("MEDMESH_HOME", "PYTHONDONTWRITEBYTECODE")}
    return kept | {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "MEDMESH_EDGE_HISTORY_KEY": "file",
        "MEDMESH_EDGE_INTERFACES": "loopback",
    }


def call(command: str, *arguments: str, home: Path, bin_: Path = BIN) -> Answer:
    """Run a command with ``--json``."""
    done = subprocess.run(
        [str(bin_ / command), *arguments, "--home", str(home), "--json"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
        check=False,
    )
    return _answer(done.returncode, done.stdout, done.stderr)


def run(command: str, *arguments: str, home: Path, bin_: Path = BIN) -> dict[str, Any]:
    """Run a command that must succeed."""
    answer = call(command, *arguments, home=home, bin_=bin_)
    assert answer.code == 0, answer.stderr
    return answer.document


def inside(command: str, *arguments: str, home: Path) -> Answer:
    """``call`` in this process, where the start of another would show nothing more."""
    from coordinator.cli.app import app as coordinator
    from edge_node.cli.app import app as edge

    app = {"medmesh-coordinator": coordinator, "medmesh-edge": edge}[command]
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        for name in os.environ.keys() - environment().keys():
            patch.delenv(name)
        for name, value in environment().items():
            patch.setenv(name, value)
        console.run(app, [*arguments, "--home", str(home), "--json"])
    return _answer(int(left.value.code or 0), out.getvalue(), err.getvalue())


def _answer(code: int, out: str, err: str) -> Answer:
    document = json.loads(out) if out.strip() else {}
    error = json.loads(err.strip().splitlines()[-1])["error"] if code else {}
    return Answer(code, document, error, err)


class Running:
    """A command that goes on until it is stopped; its JSON lines are collected."""

    def __init__(self, command: str, *arguments: str, home: Path) -> None:
        self._process = subprocess.Popen(
            [str(BIN / command), *arguments, "--home", str(home), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        self._lines: list[dict[str, Any]] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._lines.append(json.loads(line))
                self._more.notify_all()

    def wait_for(self, timeout_s: float = 30, **wanted: Any) -> dict[str, Any]:
        """The first line with these keys and values; None as a value: any."""

        def found() -> dict[str, Any] | None:
            return next((x for x in self._lines if all(k in x and v in (None, x[k]) for k, v in wanted.items())), None)

        with self._more:
            assert self._more.wait_for(lambda: found() is not None, timeout_s), (wanted, self._lines)
            line = found()
        assert line is not None
        return line

    def send(self, sign: int) -> None:
        """Send a signal and do not wait."""
        self._process.send_signal(sign)

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        self._process.send_signal(sign)
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code
