"""Run every benchmark beside this file and print one table. Exits with 1 if a target is missed.

A benchmark is a script that prints JSON lines ``{"figure", "ours", "rival", "ratio", "target", "ok"}`` as it goes. Ratios are
of two measurements in the same run on the same machine; ``make bench ONLY=inference`` runs one script.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

SCRIPTS = (
    "inference",
    "explanation",
    "cleaning",
    "training",
    "accuracy",
    "spatial",
    "wire",
    "peers",
    "notices",
    "drift",
    "kb_search",
    "honesty",
    "federation",
    "federation_privacy",
    "federation_spatial",
    "crop",
    "dashboard",
    "install_size",
)


def main() -> int:
    folder = Path(__file__).resolve().parent
    chosen = [s for s in SCRIPTS if os.environ.get("ONLY") in (None, "", s)]
    rows, failed = [], False
    for name in chosen:
        done = subprocess.run(
            [sys.executable, str(folder / f"{name}.py")], stdout=subprocess.PIPE, text=True, check=False
        )
        failed |= done.returncode != 0
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    table = Table(title=f"MedMesh benchmarks · {_machine()}", title_justify="left")
    for heading in ("figure", "ours", "rival", "ratio", "target", ""):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            *(str(row[k]) for k in ("figure", "ours", "rival", "ratio", "target")), "✓" if row["ok"] else "✗ missed"
        )
    Console(width=160).print(table)
    return 1 if failed or not all(r["ok"] for r in rows) else 0


def _machine() -> str:
    model = "unknown CPU"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
