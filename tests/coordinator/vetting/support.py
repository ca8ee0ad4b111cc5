"""A coordinator with a home, and bringing it models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.vetting.examination import Allowed
from coordinator.vetting.importing import import_model
from tests.coordinator.vetting import models
from tests.support.coordinator import NOW


@asynccontextmanager
async def coordinator(home: Path) -> AsyncIterator[Coordinator]:
    await initialise(home, Config("Test", 1))
    async with open_coordinator(home) as opened:
        yield opened


async def bring(
    opened: Coordinator, data: bytes, name: str = "brought.tflite", allowed: Allowed | None = None, **labels: Any
) -> dict[str, Any]:
    file = opened.home.root / name
    file.write_bytes(data)
    return await import_model(opened, file, models.labels_file(**labels), "Dr Li", NOW, allowed=allowed)


async def refused(opened: Coordinator, data: bytes, *arguments: Any, **labels: Any) -> CoordinatorError:
    """The refusal, after which there is nothing: no model, no file, no quarantine."""
    with pytest.raises(CoordinatorError) as caught:
        await bring(opened, data, *arguments, **labels)
    assert await opened.models.list() == []
    assert not list(opened.home.artifacts.rglob("*"))
    assert not list(opened.home.vetting.glob("*"))
    return caught.value
