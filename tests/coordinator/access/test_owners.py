"""Whose a data set is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.access.owners import check, claim, confirm
from coordinator.errors import CoordinatorError
from coordinator.store.tables import datasets, models
from protocols import access
from tests.support.coordinator import database

NONE: frozenset[str] = frozenset()
ANY = frozenset({access.DATASET_ANY})


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    async with database(tmp_path) as opened, opened.begin() as found:
        yield found


async def make(connection: AsyncConnection, name: str = "cells") -> None:
    await connection.execute(datasets.insert().values(name=name, disease="malaria", created="", reports=[]))


async def refused(connection: AsyncConnection, owner: str, job: str | None = None) -> None:
    with pytest.raises(CoordinatorError, match=r"dataset\.not_yours"):
        await check(connection, "cells", owner, NONE, job)


async def test_a_data_set_belongs_to_who_made_it(connection: AsyncConnection) -> None:
    await claim(connection, "cells", "north", NONE, "job-1")
    await make(connection)
    await confirm(connection, "cells", "job-1")
    assert await check(connection, "cells", "north", NONE)
    await refused(connection, "south")


async def test_a_job_that_died_before_it_said_so_finds_its_own(connection: AsyncConnection) -> None:
    await claim(connection, "cells", "north", NONE, "job-1")
    await make(connection)
    await refused(connection, "north")
    await claim(connection, "cells", "north", NONE, "job-1")
    await confirm(connection, "cells", "job-1")
    assert await check(connection, "cells", "north", NONE)


async def test_a_claim_whose_import_failed_gives_no_right_to_what_others_make_later(
    connection: AsyncConnection,
) -> None:
    await claim(connection, "cells", "north", NONE, "job-1")
    await claim(connection, "cells", "south", NONE, "job-2")
    await claim(connection, "cells", "north", NONE, "job-3")
    await make(connection)  # by the keeper
    await refused(connection, "north")
    await refused(connection, "south", "job-2")


async def test_a_removed_data_set_leaves_no_owner(connection: AsyncConnection) -> None:
    await claim(connection, "cells", "north", NONE, "job-1")
    await make(connection)
    await confirm(connection, "cells", "job-1")
    await connection.execute(delete(datasets))
    assert not await check(connection, "cells", "south", NONE)
    await make(connection)  # by the keeper; it may well get the number of the old one
    await refused(connection, "north")


async def test_who_may_write_to_all_does_not_take_over(connection: AsyncConnection) -> None:
    await make(connection)
    await refused(connection, "keeper")
    await claim(connection, "cells", "keeper", ANY, "job-1")
    await confirm(connection, "cells", "job-1")
    await refused(connection, "keeper")


async def test_a_new_data_set_does_not_slip_into_a_line_of_models(connection: AsyncConnection) -> None:
    row = {"name": "cells", "version": 1, "disease": "malaria", "dataset": "", "manifest": "", "created": ""}
    await connection.execute(models.insert().values(**row, training={}))
    with pytest.raises(CoordinatorError, match=r"dataset\.name_of_models"):
        await claim(connection, "cells", "north", NONE, "job-1")
    await claim(connection, "cells", "keeper", ANY, "job-2")
