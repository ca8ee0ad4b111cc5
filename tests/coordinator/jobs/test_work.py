"""What a job does with what arrived."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets
from coordinator.jobs import run, work
from coordinator.jobs.curves import with_point
from coordinator.jobs.queue import Job, Request
from coordinator.store.tables import dataset_owners, models
from coordinator.training.spatial.curves import Point, listener
from coordinator.uploads.declaration import read
from coordinator.uploads.packing import stream
from coordinator.uploads.store import data_path, groups_path
from protocols.artifacts import sha256_file
from tests.support.engine import InlineEngine
from tests.support.pictures import write_set
from tests.support.uploads import declaration, office

NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
async def coordinator(tmp_path: Path) -> AsyncIterator[Coordinator]:
    async with office(tmp_path / "home") as opened:
        yield replace(opened.coordinator, engine=InlineEngine())  # type: ignore[arg-type]


def arrived(coordinator: Coordinator, data: bytes, owner: str = "north", **options: Any) -> Job:
    """A job whose upload is complete."""
    declared = read(declaration(data))
    told = {**declared.options, "size": len(data), "sha256": declared.sha256, **options}
    kind = "model_import" if "format" in told else "import"
    path = data_path(coordinator.home, "u", told)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Job("j", Request(kind, told["name"], owner, frozenset(), told, "u"), 1)


async def do(coordinator: Coordinator, job: Job, importer: work.ImportModel | None = None) -> dict[str, Any]:
    return await work.run(coordinator, job, importer, NOW, lambda *_: None)


async def owner(coordinator: Coordinator) -> str | None:
    async with coordinator.database.read() as connection:
        return await connection.scalar(select(dataset_owners.c.owner).where(dataset_owners.c.name == "malaria"))


async def test_an_upload_becomes_a_data_set_of_its_owner(coordinator: Coordinator, tmp_path: Path) -> None:
    data = b"".join(stream(write_set(tmp_path / "set", 6)))
    report = await do(coordinator, arrived(coordinator, data))
    assert (report["dataset"], report["accepted"], report["groups"]) == ("malaria", 12, 6)
    assert await owner(coordinator) == "north"
    assert (await do(coordinator, arrived(coordinator, data)))["already_present"] == 12  # run again after a crash
    with pytest.raises(CoordinatorError, match=r"dataset\.not_yours"):
        await do(coordinator, arrived(coordinator, data, "south"))


async def test_a_groups_file_sent_beside_is_used(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 4)
    rows = [f"{p.relative_to(folder).as_posix()},everyone" for p in folder.rglob("*.png")]
    job = arrived(coordinator, b"".join(stream(folder)))
    groups_path(coordinator.home, "u").write_text("\n".join(["file,group", *rows]), "utf-8")
    assert (await do(coordinator, job))["groups"] == 1


@pytest.mark.parametrize("damage", ["flipped", "longer", "gone"])
async def test_what_is_not_what_was_declared_is_not_opened(
    coordinator: Coordinator, tmp_path: Path, damage: str
) -> None:
    data = b"".join(stream(write_set(tmp_path / "set", 6)))
    job = arrived(coordinator, data)
    path = data_path(coordinator.home, "u", job.request.options)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data + b"x" if damage == "longer" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(CoordinatorError, match=r"upload\.digest"):
        await do(coordinator, job)
    assert await Datasets(coordinator.database, coordinator.home, InlineEngine()).all() == []
    assert await owner(coordinator) is None


async def test_an_archive_that_is_refused_leaves_its_name_free(coordinator: Coordinator, tmp_path: Path) -> None:
    with pytest.raises(CoordinatorError, match=r"intake\."):
        await do(coordinator, arrived(coordinator, b"PK no zip", "south"))
    data = b"".join(stream(write_set(tmp_path / "set", 6)))
    await do(coordinator, arrived(coordinator, data, "north"))
    assert await owner(coordinator) == "north"


async def test_a_model_goes_through_the_port(coordinator: Coordinator) -> None:
    told = {"format": "tflite", "description": {"labels": ["a", "b"]}}
    seen: list[Any] = []

    async def importer(c: Coordinator, file: Path, description: dict, by: str, now: datetime, _: object) -> dict:  # type: ignore[type-arg]
        seen.append((file.suffix, sha256_file(file), description, by, now))
        return {"model": "x", "version": 1}

    job = arrived(coordinator, b"model", **told)
    assert await do(coordinator, job, importer) == {"model": "x", "version": 1}
    assert seen == [(".tflite", hashlib.sha256(b"model").hexdigest(), {"labels": ["a", "b"]}, "north", NOW)]


async def test_a_model_of_somebody_else_gets_no_version_from_a_stranger(coordinator: Coordinator) -> None:
    async def importer(*_: object) -> dict[str, Any]:
        return {"model": "net", "version": 2}

    told = {"format": "tflite", "description": {"disease": "net"}}  # no name of its own: that of the disease
    mine = arrived(coordinator, b"model", **told)
    brought = {"by": "north", "sha256": mine.request.options["sha256"]}
    row = {"name": "net", "version": 1, "disease": "malaria", "dataset": "", "manifest": "", "created": ""}
    async with coordinator.database.begin() as connection:
        await connection.execute(models.insert().values(**row, training={"brought": brought, "version": 1}))
    assert (await do(coordinator, mine, importer))["version"] == 2
    again = Job("j", mine.request, 2)  # its process died after it had recorded the version
    assert (await do(coordinator, again, importer))["version"] == 1
    with pytest.raises(CoordinatorError, match=r"model\.not_yours"):
        await do(coordinator, arrived(coordinator, b"model", "south", **told), importer)
    async with coordinator.database.begin() as connection:
        await connection.execute(models.insert().values(**{**row, "version": 2}, training={"dataset": "keepers"}))
    with pytest.raises(CoordinatorError, match=r"model\.not_yours"):
        await do(coordinator, mine, importer)


async def test_a_training_that_was_done_before_its_process_died_is_not_done_again(coordinator: Coordinator) -> None:
    row = {"name": "malaria", "version": 1, "disease": "malaria", "dataset": "malaria", "manifest": "", "created": ""}
    async with coordinator.database.begin() as connection:
        await connection.execute(models.insert().values(**row, training={"job": "other", "model": "malaria"}))
        done = {"job": "j", "model": "malaria", "version": 2}
        await connection.execute(models.insert().values(**{**row, "version": 2}, training=done))
    request = Request("train", "malaria", "north", frozenset(), {"effort": "quick"})
    assert await do(coordinator, Job("j", request, 2)) == done


async def test_epochs_of_a_training_in_its_thread_are_told_to_the_server(
    coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the child of a training says reaches the line that the runner reads, and what the runner keeps of it."""
    await coordinator.jobs.add(Request("train", "malaria", "", frozenset(), {}), NOW)
    job = await coordinator.jobs.claim("r", 1, 3, NOW)
    assert job is not None

    async def trains(*_: object) -> dict[str, Any]:
        await asyncio.to_thread(lambda: listener.get()(Point("a/0", "mixed4", 1, 0.5, None)))
        return {}

    monkeypatch.setattr(work, "run", trains)
    told = io.StringIO()
    await run._run(coordinator.home.root, job.id, "r", told)
    (line,) = told.getvalue().splitlines()
    assert with_point([], json.loads(line)) == [{"run": "a/0", "name": "mixed4", "loss": [0.5], "validation": [None]}]
