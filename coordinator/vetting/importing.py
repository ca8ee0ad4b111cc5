"""``model import``: a ready-trained model becomes a version like any other, or nothing happens at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.store.blobs import FolderBlobs
from coordinator.store.described import described
from coordinator.training import golden
from coordinator.vetting import candidate
from coordinator.vetting.allowlist import Limits
from coordinator.vetting.description import Description, parse
from coordinator.vetting.examination import Allowed, Examined, examine
from coordinator.vetting.quarantine import quarantined
from disease_kb.seeding import open_or_build
from protocols.artifacts import Artifact


async def import_model(
    coordinator: Coordinator,
    file: Path,
    description: Description | dict[str, Any],
    by: str,
    now: datetime,
    progress: Callable[[str, int, int], None] = lambda _part, _done, _total: None,
    allowed: Allowed | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Vet a file and record it as the next version of its model. Where it is refused, nothing is left behind.

    Args:
        coordinator: whose model it becomes.
        file: read only; stays where it is.
        description: the labels file, or its JSON.
        by: who brings it, for the card.
        now: the time.
        progress: called with a part (``converting``, ``checking``, ``trying``), what is done of it, and its whole.
        allowed: what the sandbox's processes may take.
        limits: what the network may be. Both have defaults that fit a node.

    Returns:
        what ``model import`` prints.

    Raises:
        CoordinatorError: ``vetting.*``, ``file.*``, ``dataset.unknown_entry``, ``model.other_disease``.
    """
    wanted = parse(description) if isinstance(description, dict) else description
    await _check_entries(coordinator, wanted)
    await _check_disease(coordinator, wanted)
    strip = golden.strip()

    bounds = limits or Limits()

    def work() -> Examined:
        with quarantined(coordinator.home.vetting, file, bounds.file_bytes) as brought:
            return examine(brought, file.name, wanted, strip, bounds, allowed or Allowed(), progress)

    examined = await asyncio.to_thread(work)
    candidate.check_output(examined.logits, wanted)
    return await _record(coordinator, wanted, examined, strip, by, now)


async def _check_entries(coordinator: Coordinator, wanted: Description) -> None:
    async with await open_or_build(coordinator.home.root) as knowledge:
        for label in wanted.labels:
            if label.entry is not None and await knowledge.get(label.entry) is None:
                raise CoordinatorError("dataset.unknown_entry", entry=label.entry)


async def _check_disease(coordinator: Coordinator, wanted: Description) -> None:
    """A model's versions are about one disease."""
    for row in await coordinator.models.list():
        if row["model"] == wanted.model and row["disease"] != wanted.disease:
            raise CoordinatorError("dataset.other_disease", name=wanted.model, disease=row["disease"])


async def _record(
    coordinator: Coordinator, wanted: Description, examined: Examined, strip: bytes, by: str, now: datetime
) -> dict[str, Any]:
    """Store the files, then the row that makes them a model; killed between them, unnamed files are all that is left."""
    blobs = FolderBlobs(coordinator.home.artifacts)
    stage = described(candidate.ROLE, blobs.put(examined.stage), blobs)
    pictures = Artifact.of("golden", strip)
    blobs.put(strip)
    brought = {
        "by": by,
        "name": wanted.name,
        "licence": wanted.licence,
        "source": wanted.source,
        "kind": examined.report["kind"],
        "sha256": examined.report["sha256"],
        "output": wanted.output,
    }
    version = await coordinator.models.next_version(wanted.model)
    manifest = candidate.manifest(wanted, version, stage, pictures, examined.logits, brought, now)
    document = {
        "model": manifest.model,
        "version": manifest.version,
        "dataset": "",
        "brought": brought,
        "vetting": {**examined.report, "stage": stage.sha256},
        "metrics": {},
        "artifacts": [a.document() for a in manifest.artifacts],
    }
    await coordinator.models.add(manifest, document, "model.import")
    return document
