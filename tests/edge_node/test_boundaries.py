"""What this package may rely on, held by reading its source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edge_node import VERSION
from protocols.errors import table
from tests.edge_node.support.commands import ROOT, environment

SOURCES = sorted((ROOT / "edge_node").rglob("*.py"))
FORBIDDEN = {"coordinator", "tensorflow", "keras"}
ADAPTER = (
    ROOT / "edge_node" / "federation" / "spatial.py"
)  # the one exception: fits spatial heads, with the extra training


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_imports_the_coordinator_or_tensorflow(path: Path) -> None:
    assert imports(path) & FORBIDDEN == ({"tensorflow", "keras"} if path == ADAPTER else set())


def test_the_version_is_the_projects() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION


def test_every_code_that_is_raised_stands_in_the_table() -> None:
    text = "".join(path.read_text("utf-8") for path in SOURCES)
    raised = set(re.findall(r'(?:Error|ImageFileError)\(\s*"([a-z]+\.[a-z_.]+)"', text))
    assert len(raised) > 20
    assert raised <= set(table())
    own = {code for code in table() if code.startswith("edge.")}
    assert own <= raised, "codes that nothing raises"


def test_starting_up_loads_nothing_heavy() -> None:
    heavy = ["numpy", "PIL", "httpx", "websockets", "zeroconf", "cryptography", "ai_edge_litert", "aiosqlite", "tuf"]
    script = f"import sys, edge_node.cli.app; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"
