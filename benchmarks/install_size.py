"""How much room a clinic's installation takes, that it works, and that TensorFlow is not in it.

A fresh environment from the hash-checked requirements, once for the commands and once with the app; needs the package index or
uv's cache. ``--aarch64`` looks instead whether every pinned package has a wheel for 64-bit ARM Linux, without installing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).parent / "uv"
PYTHONS = ("3.11", "3.12", "3.13")
LARGEST = 8
_MB = 1e6


@dataclass(frozen=True)
class Target:
    """A requirements file and the most that it may take, if something was promised."""

    name: str
    requirements: str
    limit_mb: int | None


TARGETS = (
    Target("[edge]", "edge.txt", 300),
    Target("[edge]+[ui]", "ui.txt", 400),
    Target("[edge]+[federation]", "federation.txt", None),  # for hospitals; reported, nothing was promised
)
# Puts the seed of the knowledge base where a node keeps its replica.
_REPLICA = """
import asyncio, pathlib, sys
from disease_kb.seeding import seed_entries
from disease_kb.store import KnowledgeBase

async def fill(path):
    async with await KnowledgeBase.open(path) as knowledge:
        await knowledge.replace_all(seed_entries())

path = pathlib.Path(sys.argv[1], "edge", "kb.sqlite")
path.parent.mkdir(parents=True)
asyncio.run(fill(path))
"""
FORBIDDEN = ("tensorflow", "tensorflow_cpu", "tensorflow_intel", "keras", "jax", "torch")


def main() -> int:
    """Print one JSON line for each target; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aarch64", action="store_true", help="wheels for 64-bit ARM Linux instead of sizes")
    rows = aarch64() if parser.parse_args().aarch64 else sizes()
    for row in rows:
        print(json.dumps(row), flush=True)
    return 0 if all(row["ok"] for row in rows) else 1


def sizes() -> list[dict[str, object]]:
    """The measured installations."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = _wheel(folder)
        for number, target in enumerate(TARGETS):
            venv = folder / f"venv{number}"
            python = _install(venv, target, wheel)
            fresh_mb = size_mb(venv)
            problems = _problems(python, folder / f"home{number}")
            _run(python, "-m", "compileall", "-q", str(venv), check=False)
            used_mb = size_mb(venv)
            for name, package_mb in largest(venv):
                print(f"  {target.name}: {name} {package_mb:.1f} MB", file=sys.stderr)
            rows.append(
                {
                    "figure": f"{target.name} installed, all bytecode compiled",
                    "ours": f"{used_mb:.0f} MB",
                    "rival": f"{fresh_mb:.0f} MB before compiling",
                    "ratio": "; ".join(problems) or "no TensorFlow, commands run",
                    "target": f"<= {target.limit_mb} MB" if target.limit_mb else "reported",
                    "ok": used_mb <= (target.limit_mb or used_mb) and not problems,
                }
            )
    return rows


def _wheel(folder: Path) -> Path:
    """Build the project itself with the environment at hand."""
    _run(Path(sys.executable), "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    return next(folder.glob("*.whl"))


def _install(venv: Path, target: Target, wheel: Path) -> Path:
    python = venv / "bin" / "python"
    requirements = str(ROOT / "requirements" / target.requirements)
    _run(UV, "venv", "--quiet", "--python", sys.executable, str(venv))
    install = ("pip", "install", "--quiet", "--python", str(python))
    _run(UV, *install, "--require-hashes", "-r", requirements)
    _run(UV, *install, "--no-deps", "--no-index", str(wheel))
    return python


def _problems(python: Path, home: Path) -> list[str]:
    """What is wrong with an installation; empty where nothing is."""
    problems = [f"{name} is importable" for name in FORBIDDEN if _succeeds(python, "-c", f"import {name}")]
    _run(python, "-c", _REPLICA, str(home))
    command = python.parent / "medmesh-edge"
    for arguments in (["--help"], ["status", "--json"], ["kb", "search", "疟疾", "--json"]):
        options = [] if arguments == ["--help"] else ["--home", str(home)]
        if failure := _failure(command, *arguments, *options):
            problems.append(f"medmesh-edge {' '.join(arguments)}: {failure}")
    if not _succeeds(python, "-c", "import ai_edge_litert.interpreter, edge_node.worker.child"):
        problems.append("the runtime cannot be imported")
    return problems


def aarch64() -> list[dict[str, object]]:
    """Resolve both files for 64-bit ARM Linux with wheels only, for each Python."""
    rows: list[dict[str, object]] = []
    for target in TARGETS:
        failures = []
        for version in PYTHONS:
            with tempfile.TemporaryDirectory() as empty:
                requirements = str(ROOT / "requirements" / target.requirements)
                options = ("--python-platform", "aarch64-unknown-linux-gnu", "--python-version", version)
                strict = ("--only-binary", ":all:", "--require-hashes", "--dry-run", "--quiet", "--target", empty)
                if not _succeeds(UV, "pip", "install", *options, *strict, "-r", requirements):
                    failures.append(version)
        rows.append(
            {
                "figure": f"{target.name}: wheels for aarch64 Linux (glibc 2.28)",
                "ours": f"Python {', '.join(v for v in PYTHONS if v not in failures) or 'none'}",
                "rival": "-",
                "ratio": f"missing for {', '.join(failures)}" if failures else "all pinned packages",
                "target": "some Python 3.11-3.13",
                "ok": len(failures) < len(PYTHONS),
            }
        )
    return rows


def size_mb(folder: Path) -> float:
    """Megabytes of all files below a folder; links count nothing."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / _MB


def largest(venv: Path) -> list[tuple[str, float]]:
    """The largest entries of the environment's packages, in megabytes."""
    sizes_mb: defaultdict[str, float] = defaultdict(float)
    for packages in venv.glob("lib/python*/site-packages"):
        for entry in packages.iterdir():
            sizes_mb[entry.name] += size_mb(entry) if entry.is_dir() else entry.lstat().st_size / _MB
    return sorted(sizes_mb.items(), key=lambda item: -item[1])[:LARGEST]


def _run(program: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *arguments], cwd=ROOT, check=check, stdout=subprocess.DEVNULL, text=True)


def _succeeds(program: Path, *arguments: str) -> bool:
    return not _failure(program, *arguments)


def _failure(program: Path, *arguments: str) -> str:
    """The last line of what a failing program says; empty where it succeeds. It runs away from the sources."""
    done = subprocess.run(
        [str(program), *arguments], cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


if __name__ == "__main__":
    sys.exit(main())
