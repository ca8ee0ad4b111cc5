"""A whole training with the smallest spatial heads, to be killed: ``python -m tests.support.killed_ladder HOME``."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator.bootstrap import open_coordinator
from coordinator.training.ladder import spatial
from coordinator.training.run import train_dataset
from coordinator.training.spatial.config import SpatialConfig

CONFIGS = (SpatialConfig(maps=("mixed7",), width=8, epochs=3), SpatialConfig(maps=("mixed7",), width=16, epochs=3))


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
    spatial.CONFIGS["full"] = CONFIGS
    document = asyncio.run(train(Path(sys.argv[1])))
    sys.stdout.write(json.dumps(document) + "\n")
