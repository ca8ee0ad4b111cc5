"""A coordinator with an empty home."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.config import Config


@pytest.fixture
async def coordinator(tmp_path: Path) -> AsyncIterator[Coordinator]:
    await initialise(tmp_path / "home", Config("Test", 1))
    async with open_coordinator(tmp_path / "home") as opened:
        yield opened
