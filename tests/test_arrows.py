"""The import arrows: domain at the bottom, edge and coordinator apart, TensorFlow in few files, one of them at the edge."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "protocols": {"coordinator", "edge_node", "disease_kb", "asyncio", "socket", "tensorflow", "keras", "kivy"},
    "disease_kb": {"coordinator", "edge_node", "tensorflow", "keras", "kivy"},
    "edge_node": {"coordinator", "tensorflow", "keras", "sklearn", "sqlalchemy"},
    "coordinator": {"edge_node", "kivy"},
}
EDGE_ADAPTER = "edge_node/federation/spatial.py"  # fits spatial heads where the extra training is; docs/adr/0027
TENSORFLOW_FILES = {
    "coordinator/training/convert.py",
    "coordinator/training/backbones.py",
    "coordinator/training/spatial/network.py",
    "coordinator/training/spatial/upper.py",
    "coordinator/vetting/conversion.py",
}


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, lazily too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_package_imports_nothing_against_the_arrows(package: str) -> None:
    face = ROOT / "protocols" / "console.py"  # the three commands' common face: the one module there that does I/O
    files = [p for p in (ROOT / package).rglob("*.py") if p != face]
    wrong = {p.relative_to(ROOT).as_posix(): imports(p) & FORBIDDEN[package] for p in files}
    allowed = {EDGE_ADAPTER: {"tensorflow", "keras"}} if package == "edge_node" else {}
    assert {k: v for k, v in wrong.items() if v} == allowed


def test_tensorflow_is_imported_only_where_models_are_converted() -> None:
    using = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "coordinator").rglob("*.py")
        if imports(p) & {"tensorflow", "keras"}
    }
    assert using == TENSORFLOW_FILES


def test_the_edge_adapter_imports_tensorflow_inside_its_functions_alone() -> None:
    tree = ast.parse((ROOT / EDGE_ADAPTER).read_text("utf-8"))
    module = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not {"tensorflow", "keras"} & {
        name.split(".")[0]
        for n in module
        for name in ([n.module or ""] if isinstance(n, ast.ImportFrom) else [a.name for a in n.names])
    }


def test_protocols_read_no_clock() -> None:
    for path in (ROOT / "protocols").rglob("*.py"):
        if path.name == "console.py":  # the commands' face: the one module there that does I/O
            continue
        names = {
            f"{n.value.id}.{n.attr}"
            for n in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)
        }
        assert not names & {"datetime.now", "datetime.utcnow", "time.time", "time.monotonic"}, path


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("edge_node.cli", "tensorflow keras sklearn sqlalchemy coordinator"),
        ("edge_node.federation.worker", "tensorflow keras sklearn sqlalchemy coordinator"),
        ("disease_kb.cli", "tensorflow keras sklearn sqlalchemy coordinator edge_node"),
        ("coordinator.cli", "tensorflow keras sklearn edge_node"),
        ("coordinator.web.server", "tensorflow keras sklearn edge_node"),
    ],
)
def test_starting_a_command_loads_nothing_heavy(module: str, forbidden: str) -> None:
    code = f"import sys, {module}; print([m for m in {forbidden.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
