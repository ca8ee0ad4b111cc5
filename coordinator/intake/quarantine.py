"""Images that may show burnt-in text or a face: kept apart until a person has looked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.audit import record
from coordinator.audit.actor import current, moment
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake.cleaning import Report, beside, grouped
from coordinator.intake.rows import dataset_row, guess_labels, insert_samples, read_samples, sample_of
from coordinator.intake.samples import Sample
from coordinator.intake.spool import fsync_folders, holding_images, move
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import Database
from coordinator.store.tables import datasets, quarantine, samples

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase

_LEAST_ID = 4  # digits of a digest


class Quarantine:
    """What waits, and a person's word on it. An image is known by the start of its digest."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database = database
        self._home = home
        self._blobs = FolderBlobs(home.quarantine)

    async def list(self, dataset: str | None) -> list[dict[str, Any]]:
        """What waits, the oldest first; of one data set or of all."""
        query = (
            select(quarantine, datasets.c.name)
            .join(datasets, quarantine.c.dataset == datasets.c.id)
            .order_by(quarantine.c.created, quarantine.c.file)
        )
        async with self._database.read() as connection:
            if dataset is not None:
                row = await dataset_row(connection, dataset)
                query = query.where(quarantine.c.dataset == row.id)
            return [
                {
                    "id": row.sha256[:12],
                    "dataset": row.name,
                    "label": row.label,
                    "file": row.file,
                    "doubt": row.doubt,
                    "since": row.created,
                }
                for row in await connection.execute(query)
            ]

    async def picture(self, id_: str) -> tuple[dict[str, Any], bytes]:
        """One image's row and its picture, PNG.

        Raises:
            CoordinatorError: ``quarantine.unknown``.
        """
        row = await self._find(id_)
        listed = next(r for r in await self.list(None) if r["id"] == row.sha256[:12])
        return listed, await asyncio.to_thread(self._blobs.path(row.sha256).read_bytes)

    async def accept(self, id_: str, knowledge: KnowledgeBase, of: str | None = None) -> dict[str, Any]:
        """Make an image part of its data set; where it is alike an image there, of that one's group.

        Args:
            id_: the start of its digest.
            knowledge: for the guess at a label that is new.
            of: only one that waits for this data set.

        Raises:
            CoordinatorError: ``quarantine.unknown``, ``quarantine.conflict``; it goes on waiting.
        """
        async with holding_images(self._home):
            row = await self._find(id_, of)
            sample = sample_of(row, row.facts)
            async with self._database.begin() as connection:
                dataset = (await connection.execute(select(datasets).where(datasets.c.id == row.dataset))).one()
                query = select(samples.c.label).where(samples.c.dataset == row.dataset, samples.c.sha256 == row.sha256)
                label = await connection.scalar(query)
                if label not in (None, row.label):
                    raise CoordinatorError("quarantine.conflict", name=dataset.name, label=label)
                close = beside(sample, await read_samples(connection, row.dataset))
                settled, regrouped, near, _ = grouped([sample], close)
                await insert_samples(connection, row.dataset, dataset.name, _alone(settled[0], regrouped))
                await guess_labels(connection, row.dataset, dataset.disease, knowledge)
                await connection.execute(_of(row))
                await _tell(connection, "dataset.quarantine.accept", dataset.name, row)
                await asyncio.to_thread(self._move_out, row)
        return {"dataset": dataset.name, "id": row.sha256[:12], "group": settled[0].group, "near_duplicates": near}

    async def reject(self, id_: str, of: str | None = None) -> dict[str, Any]:
        """Remove an image that waits, and its original; with ``of``, only one that waits for that data set.

        Raises:
            CoordinatorError: ``quarantine.unknown``.
        """
        async with holding_images(self._home):
            row = await self._find(id_, of)
            async with self._database.begin() as connection:
                await connection.execute(_of(row))
                left = select(quarantine.c.sha256).where(quarantine.c.sha256 == row.sha256)
                elsewhere = await connection.scalar(left)  # another data set's
                name = await connection.scalar(select(datasets.c.name).where(datasets.c.id == row.dataset))
                await _tell(connection, "dataset.quarantine.reject", str(name), row)
            if elsewhere is None:
                for sha256 in (row.sha256, row.facts["original"]):
                    if sha256:
                        await asyncio.to_thread(self._blobs.remove, sha256)
        return {"id": row.sha256[:12], "removed": 1}

    async def _find(self, id_: str, of: str | None = None) -> Any:
        query = select(quarantine).where(quarantine.c.sha256.startswith(id_, autoescape=True)).limit(2)
        if of is not None:
            query = query.join(datasets, quarantine.c.dataset == datasets.c.id).where(datasets.c.name == of)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        if len(id_) < _LEAST_ID or not rows:
            raise CoordinatorError("quarantine.unknown", id=id_[:64])
        return rows[0]

    def _move_out(self, row: Any) -> None:
        for sha256, folder in ((row.sha256, self._home.images), (row.facts["original"], self._home.originals)):
            if sha256:
                move(sha256, self._blobs, FolderBlobs(folder))
                fsync_folders(folder)


async def _tell(connection: AsyncConnection, act: str, dataset: str, row: Any) -> None:
    told = {"id": row.sha256[:12], "label": row.label, "doubt": row.doubt}
    await record(connection, current.get(), act, dataset, told, moment())


def _of(row: Any) -> Any:
    return delete(quarantine).where(quarantine.c.dataset == row.dataset, quarantine.c.sha256 == row.sha256)


def _alone(sample: Sample, regrouped: dict[str, str]) -> Report:
    """An import of one image."""
    return Report([sample], [], regrouped, [], [], [], [], {})
