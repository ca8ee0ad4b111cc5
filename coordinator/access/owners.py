"""Which data sets an uploader may write to: those that they made. The keeper's own belong to nobody else."""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.errors import CoordinatorError
from coordinator.store.tables import dataset_owners, datasets, models
from protocols import access


async def check(
    connection: AsyncConnection, name: str, owner: str, scopes: frozenset[str], job: str | None = None
) -> bool:
    """Whether the data set exists; the owner may write to it.

    Args:
        connection: a transaction.
        name: of the data set.
        owner: who wants to write.
        scopes: what they may.
        job: the job that asks; a data set that it made itself, before its process died, is its own.

    Raises:
        CoordinatorError: ``dataset.not_yours``; ``dataset.name_of_models`` where a new data set would be trained into a
            line of models that stands without it.
    """
    dataset = await connection.scalar(select(datasets.c.id).where(datasets.c.name == name))
    if dataset is None:
        stands = await connection.scalar(select(models.c.id).where(models.c.name == name).limit(1))
        if stands is not None and access.DATASET_ANY not in scopes:
            raise CoordinatorError("dataset.name_of_models", name=name)
        return False
    row = (await connection.execute(select(dataset_owners).where(dataset_owners.c.name == name))).first()
    mine = row is not None and row.owner == owner and (row.dataset == dataset or row.job == job)
    if not mine and access.DATASET_ANY not in scopes:
        raise CoordinatorError("dataset.not_yours", name=name)
    return True


async def claim(connection: AsyncConnection, name: str, owner: str, scopes: frozenset[str], job: str) -> None:
    """Claim the name of a data set that a job is about to make; one that exists keeps its owner.

    Raises:
        CoordinatorError: ``dataset.not_yours``.
    """
    if not await check(connection, name, owner, scopes, job):
        await connection.execute(
            delete(dataset_owners).where(dataset_owners.c.name == name)
        )  # of an import that failed
        await connection.execute(dataset_owners.insert().values(name=name, owner=owner, job=job))


async def confirm(connection: AsyncConnection, name: str, job: str) -> None:
    """The job has made the data set that it claimed."""
    made = select(datasets.c.id).where(datasets.c.name == name).scalar_subquery()
    mine = (dataset_owners.c.name == name) & (dataset_owners.c.job == job) & dataset_owners.c.dataset.is_(None)
    await connection.execute(update(dataset_owners).where(mine).values(dataset=made))
