"""An import, or a removal, that kills itself at a named point: ``python -m tests.support.killed_import HOME SOURCE POINT``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator.bootstrap import open_coordinator
from coordinator.intake import archive, datasets, images
from tests.support.intake import add, opened

POINTS = ("unpacking", "checking", "moving", "moved", "stored", "swept")
REMOVALS = ("removed", "computed", "sweeping")


def kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(owner: Any, name: str, call: int, before: bool) -> None:
    """Kill before or after the ``call``-th call of a function."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and before:
            kill()
        result = real(*arguments, **options)
        if calls == call:
            kill()
        return result

    setattr(owner, name, counted)


def arm(point: str) -> None:
    match point:
        case "unpacking":
            at(archive, "_copy", 5, before=True)
        case "checking":
            at(images, "check", 8, before=True)
        case "moving":
            at(datasets, "move", 5, before=True)
        case "moved":
            at(datasets.Datasets, "_move_in", 1, before=False)
        case "stored" | "removed":
            at(datasets.Datasets, "_sweep_files", 1 if point == "stored" else 2, before=True)
        case "swept":
            at(datasets.Datasets, "_sweep_files", 1, before=False)
        case "computed":
            at(datasets.oof, "forget", 1, before=False)
        case "sweeping":
            at(datasets.FolderBlobs, "remove", 2, before=False)


async def main(home: Path, source: Path, point: str) -> None:
    async with open_coordinator(home) as coordinator:
        arm(point)
        if point in REMOVALS:
            await opened(coordinator).remove("malaria", None)
        else:
            await add(coordinator, source)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
