"""Training a data set of the store: what ``train`` does, and what a queued training does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from coordinator.intake.datasets import Datasets
from coordinator.training.trainer import Effort, Plan, Progress, Trained, Trainer
from protocols.manifest import Label

if TYPE_CHECKING:
    from datetime import datetime

    from coordinator.bootstrap import Coordinator


async def train_dataset(
    coordinator: Coordinator,
    dataset: str,
    backbone: str,
    effort: Effort,
    budget_kb: int | None,
    now: datetime,
    progress: Progress,
    also: dict[str, Any] | None = None,
) -> Trained:
    """Train a new version from a data set and record it, with ``also`` among what is recorded.

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
        backbone=backbone,
        effort=effort,
        budget_kb=budget_kb,
        now=now,
    )
    trained = await asyncio.to_thread(Trainer(coordinator.home, coordinator.engine).train, plan, progress)
    trained.document.update(also or {})
    await coordinator.models.add(trained.manifest, trained.document)
    return trained
