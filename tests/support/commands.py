"""Running the three commands as a person would: as processes, with JSON answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    document = json.loads(done.stdout) if done.stdout.strip() else {}
    error = json.loads(done.stderr.strip().splitlines()[-1])["error"] if done.returncode else {}
    return Answer(done.returncode, document, error, done.stderr)


def run(command: str, *arguments: str, home: Path, bin_: Path = BIN) -> dict[str, Any]:
    """Run a command that must succeed."""
    answer = call(command, *arguments, home=home, bin_=bin_)
    assert answer.code == 0, answer.stderr
    return answer.document


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
