"""An import in a process of its own, as the server does it: ``python -m tests.support.measured_import HOME SOURCE``.

Prints one JSON line: what became of it, and the most memory (bytes) that it and the largest of its workers held.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
from pathlib import Path

from coordinator.bootstrap import open_coordinator
from coordinator.engine.local import LocalEngine
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets, ImportOptions
from disease_kb.seeding import open_or_build
from tests.support.intake import NOW


async def main(home: Path, source: Path) -> None:
    async with open_coordinator(home) as coordinator, await open_or_build(home) as knowledge:
        datasets = Datasets(coordinator.database, coordinator.home, LocalEngine(2), coordinator.config.intake)
        options = ImportOptions("malaria", "malaria")
        try:
            report = await datasets.add(source, options, knowledge, NOW, lambda done, total: None)
            outcome = {r["file"]: r["code"] for r in report["rejected"]}
        except CoordinatorError as error:
            outcome = {"": error.code}
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"outcome": outcome, "parent": own_peak(), "workers": workers}) + "\n")


def own_peak() -> int:
    """Not from getrusage, which across an exec remembers whoever started the process."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
