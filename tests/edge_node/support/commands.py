"""Running ``medmesh-edge`` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        return dict(json.loads(self.out))

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.err.strip().splitlines()[-1])["error"])


def command_line(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "edge_node", *arguments, "--json", "--lang", "en", "--home", str(home)]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MEDMESH")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "MEDMESH_DEBUG": "",
        "MEDMESH_EDGE_HISTORY_KEY": "file",  # no real keystore
        "MEDMESH_EDGE_DISCOVERY": os.environ.get("MEDMESH_EDGE_DISCOVERY", "false"),  # other tests' nodes are not ours
        "MEDMESH_EDGE_INTERFACES": "loopback",
        "MEDMESH_EDGE_RETRY_S": os.environ.get("MEDMESH_EDGE_RETRY_S", "0"),  # what is gone stays gone
    }


def edge(home: Path, *arguments: str, timeout_s: float = 60) -> Done:
    done = subprocess.run(
        command_line(home, *arguments),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
