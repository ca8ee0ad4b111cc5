"""Which data sets an uploader may write to: those that they made. The keeper's own belong to nobody else."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.errors import CoordinatorError
from coordinator.store.tables import dataset_owners, datasets
from protocols import access


async def check(connection: AsyncConnection, name: str, owner: str, scopes: frozenset[str]) -> bool:
    """Whether the data set exists; the owner may write to it.

    Raises:
        CoordinatorError: ``dataset.not_yours``.
    """
    if await connection.scalar(select(datasets.c.id).where(datasets.c.name == name)) is None:
        return False
    recorded = await connection.scalar(select(dataset_owners.c.owner).where(dataset_owners.c.name == name))
    if recorded != owner and access.DATASET_ANY not in scopes:
        raise CoordinatorError("dataset.not_yours", name=name)
    return True


async def claim(connection: AsyncConnection, name: str, owner: str, scopes: frozenset[str]) -> None:
    """Record the owner of a data set that is about to be made; one that exists keeps its owner.

    A row that an earlier, failed import or a removed data set left counts for nothing.

    Raises:
        CoordinatorError: ``dataset.not_yours``.
    """
    if not await check(connection, name, owner, scopes):
        await connection.execute(delete(dataset_owners).where(dataset_owners.c.name == name))
        await connection.execute(dataset_owners.insert().values(name=name, owner=owner))
