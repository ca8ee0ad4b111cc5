"""Training a data set of the store: what ``train`` does, and what a queued training does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coordinator.intake.datasets import Datasets
from coordinator.training.ladder.ascent import Effort
from coordinator.training.modality import Modality
from coordinator.training.plan import Plan
from coordinator.training.trainer import Progress, Trained, Trainer
from protocols.errors import MedMeshError
from protocols.manifest import Label

if TYPE_CHECKING:
    from datetime import datetime

    from coordinator.bootstrap import Coordinator


async def train_dataset(
    coordinator: Coordinator,
    dataset: str,
    backbones: Sequence[str],
    effort: Effort,
    budget_kb: int | None,
    now: datetime,
    progress: Progress,
    also: dict[str, Any] | None = None,
    modality: Modality | None = None,
) -> Trained:
    """Train a new version from a data set and record it, with ``also`` among what is recorded.

    Where this is cancelled the training stops at its next step; started again, it goes on there.

    Raises:
        CoordinatorError: ``dataset.unknown``, ``train.…`` or ``backbone.…``; nothing is recorded then.
    """
    datasets = Datasets(coordinator.database, coordinator.home, coordinator.engine)
    shown = await datasets.show(dataset)
    labels = [Label(name, shown["labels"][name]["entry"], shown["labels"][name]["kind"]) for name in shown["classes"]]
    plan = Plan(
        dataset=dataset,
        disease=shown["disease"],
        version=await coordinator.models.next_version(dataset),
        samples=await datasets.samples(dataset),
        labels=labels,
        backbones=tuple(backbones),
        effort=effort,
        budget_kb=budget_kb,
        now=now,
        modality=modality,
    )
    trainer = Trainer(coordinator.home, coordinator.engine, coordinator.config.maps_mb)
    stop = threading.Event()

    def told(part: str, done: int, total: int) -> None:
        if stop.is_set():
            raise MedMeshError("interrupted")
        progress(part, done, total)

    try:
        trained = await asyncio.to_thread(trainer.train, plan, told)
    except asyncio.CancelledError:
        stop.set()  # the thread cannot be cancelled; it would train on, and the process wait for it
        raise
    trained.document.update(also or {})
    await coordinator.models.add(trained.manifest, trained.document)
    return trained
