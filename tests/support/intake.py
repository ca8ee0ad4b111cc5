"""Importing training sets without processes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator.bootstrap import Coordinator
from coordinator.intake.datasets import Datasets, ImportOptions
from coordinator.store.tables import metadata
from disease_kb.seeding import open_or_build
from tests.support.engine import InlineEngine

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def opened(coordinator: Coordinator) -> Datasets:
    return Datasets(coordinator.database, coordinator.home, InlineEngine())


async def add(coordinator: Coordinator, source: Path, **options: Any) -> dict[str, Any]:
    chosen = ImportOptions(**{"disease": "malaria", "name": "malaria", **options})
    async with await open_or_build(coordinator.home.root) as knowledge:
        return await opened(coordinator).add(source, chosen, knowledge, NOW, lambda done, total: None)


async def rows(coordinator: Coordinator) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that an import writes to."""
    found = {}
    async with coordinator.database.read() as connection:
        for name in ("datasets", "samples", "sample_facts", "labels", "quarantine"):
            found[name] = [tuple(r) for r in await connection.execute(metadata.tables[name].select())]
    return found


def files(coordinator: Coordinator) -> dict[str, set[str]]:
    """Digests of the files that are kept."""
    home = coordinator.home
    return {
        folder.name: {p.name for p in folder.rglob("*") if p.is_file()}
        for folder in (home.images, home.originals, home.quarantine)
    }
