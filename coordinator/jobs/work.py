"""What a job does, in a process of its own: check and import an upload, train, or put a version up for approval."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from coordinator.access import owners
from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets, ImportOptions
from coordinator.jobs.queue import Job
from coordinator.store.database import Database
from coordinator.store.tables import models
from coordinator.training import nsfwjs
from coordinator.uploads.declaration import model_name
from coordinator.uploads.store import data_path, groups_path
from disease_kb.seeding import open_or_build
from protocols import access

Progress = Callable[[str, int, int], None]
ImportModel = Callable[[Coordinator, Path, dict[str, Any], str, datetime, Progress], Awaitable[dict[str, Any]]]
_BLOCK = 4 * 1024 * 1024


async def run(
    coordinator: Coordinator, job: Job, import_model: ImportModel | None, now: datetime, progress: Progress
) -> dict[str, Any]:
    """Do a job and return its result. A job that was done before, by a process that died before it said so, is found.

    Raises:
        MedMeshError: nothing was changed.
    """
    if job.request.kind == "train":
        return await _train(coordinator, job, now, progress)
    if job.request.kind == "propose":
        return await _propose(coordinator, job, now, progress)
    assert job.request.upload is not None
    path = data_path(coordinator.home, job.request.upload, job.request.options)
    await asyncio.to_thread(_verify, path, job.request.options, progress)
    if job.request.kind == "import":
        return await _import(coordinator, job, path, now, progress)
    if import_model is None:
        raise CoordinatorError("model.import_unavailable")
    if (found := await _brought(coordinator.database, job)) is not None:
        return found
    request = job.request
    return await import_model(coordinator, path, request.options["description"], request.owner, now, progress)


def _verify(path: Path, options: dict[str, Any], progress: Progress) -> None:
    """The whole, as it was declared: every part was checked, but only by what the sender said of it."""
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                done += len(block)
                progress("verify", done, options["size"])
    except FileNotFoundError as error:
        raise CoordinatorError("upload.digest") from error
    if done != options["size"] or digest.hexdigest() != options["sha256"]:
        raise CoordinatorError("upload.digest")


async def _import(coordinator: Coordinator, job: Job, path: Path, now: datetime, progress: Progress) -> dict[str, Any]:
    options, request = job.request.options, job.request
    groups = groups_path(coordinator.home, str(request.upload))
    chosen = ImportOptions(
        disease=options["disease"],
        name=options["name"],
        groups_csv=groups if groups.is_file() else None,
        merge_classes=options["merge_classes"],
        first_frame=options["first_frame"],
        min_edge_px=options["min_edge_px"],
        keep_originals=options["keep_originals"],
    )
    async with coordinator.database.begin() as connection:
        await owners.claim(connection, chosen.name, request.owner, request.scopes, job.id)
    datasets = Datasets(coordinator.database, coordinator.home, coordinator.engine, coordinator.config.intake)
    async with await open_or_build(coordinator.home.root) as knowledge:
        report = await datasets.add(path, chosen, knowledge, now, lambda done, total: progress("images", done, total))
    async with coordinator.database.begin() as connection:
        await owners.confirm(connection, chosen.name, job.id)
    return report


async def _train(coordinator: Coordinator, job: Job, now: datetime, progress: Progress) -> dict[str, Any]:
    from coordinator.training.run import train_dataset

    if job.attempts > 1 and (found := await _trained_by(coordinator.database, job)) is not None:
        return found
    backbones = [coordinator.config.backbone or nsfwjs.BACKBONE_ID]

    def told(part: str, done: int, total: int) -> None:
        if part != "time":  # a job shows the part that it is at
            progress(part, done, total)

    effort = job.request.options["effort"]
    trained = await train_dataset(coordinator, job.request.subject, backbones, effort, None, now, told, {"job": job.id})
    return trained.document


async def _propose(coordinator: Coordinator, job: Job, now: datetime, progress: Progress) -> dict[str, Any]:
    """The gates run the model's files, so they run here and not in the server's process."""
    options = job.request.options
    progress("gates", 0, 1)
    try:
        return await coordinator.releases.propose(
            options["model"],
            options["notes"],
            options["allow_unmapped"],
            options["floor"],
            now,
            lambda: progress("second conversion", 0, 1),
            options["accept_worse"],
        )
    except CoordinatorError as error:
        if error.code == "release.exists" and job.attempts > 1:  # by a process that died before it said so
            return await coordinator.releases.show(options["model"])
        raise


async def _trained_by(database: Database, job: Job) -> dict[str, Any] | None:
    async with database.read() as connection:
        rows = await connection.scalars(select(models.c.training).where(models.c.dataset == job.request.subject))
        return next((dict(row) for row in rows if row.get("job") == job.id), None)


async def _brought(database: Database, job: Job) -> dict[str, Any] | None:
    """The version that an earlier attempt of this job made. A model that others made gets no version from a stranger.

    Raises:
        CoordinatorError: ``model.not_yours``.
    """
    request, name = job.request, model_name(job.request.options["description"])
    if name is None:
        return None
    async with database.read() as connection:
        versions = list(await connection.scalars(select(models.c.training).where(models.c.name == name)))
    brought = [row.get("brought") or {} for row in versions]
    if access.DATASET_ANY not in request.scopes and any(b.get("by") != request.owner for b in brought):
        raise CoordinatorError("model.not_yours", name=name)
    if job.attempts == 1:
        return None
    same = {"by": request.owner, "sha256": request.options["sha256"]}
    return next((dict(v) for v, b in zip(versions, brought, strict=True) if same.items() <= b.items()), None)
