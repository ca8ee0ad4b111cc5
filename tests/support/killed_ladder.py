"""A whole training with effort ``full`` made small, to be killed: ``python -m tests.support.killed_ladder HOME``.

Every part of the ladder is there, with fewer tap sets, views and repeats, and one small spatial head.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator.bootstrap import open_coordinator
from coordinator.training import selection, trainer
from coordinator.training.ladder import distilled, spatial
from coordinator.training.run import train_dataset
from coordinator.training.spatial.config import SpatialConfig

CONFIG = SpatialConfig(maps=("mixed7",), width=8, epochs=4, views=1)
VIEWS, VIEWED = 1, 120


def told(part: str, done: int, total: int) -> None:
    if part != "time":
        sys.stdout.write(json.dumps([part, done, total]) + "\n")
        sys.stdout.flush()


async def train(home: Path) -> dict[str, Any]:
    async with open_coordinator(home) as coordinator:
        now = datetime(2026, 1, 2, tzinfo=UTC)
        trained = await train_dataset(coordinator, "malaria", ["random-1"], "full", None, now, told)
        return trained.document


if __name__ == "__main__":
    spatial.CONFIGS["full"] = (CONFIG,)
    distilled.EPOCHS["full"] = (
        0  # trained by the same child as spatial heads; its own steps are tested in test_teacher.py
    )
    selection.CANDIDATES["full"] = selection.CANDIDATES["quick"]
    selection.REPEATS["full"] = 2
    trainer.VIEWS["full"] = (VIEWS, VIEWED)
    document = asyncio.run(train(Path(sys.argv[1])))
    sys.stdout.write(json.dumps(document) + "\n")
