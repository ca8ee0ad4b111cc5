"""What the coordinator keeps is kept alike by SQLite and PostgreSQL: schema, audit chain, results, queue, enrolment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from coordinator.access.tokens import Tokens
from coordinator.audit import Actor, record
from coordinator.audit.log import Chosen as Acts
from coordinator.audit.log import Trail
from coordinator.bootstrap import initialise, open_coordinator
from coordinator.config import Config
from coordinator.errors import CoordinatorError
from coordinator.jobs.queue import Queue, Request
from coordinator.results.store import Chosen, Results
from coordinator.results.writer import ResultWriter
from coordinator.store import schema
from coordinator.store.database import Database
from coordinator.store.tables import audit, uploads
from protocols.audit import Walk
from tests.coordinator.store.test_migrations import difference
from tests.support.coordinator import NOW, enrol, revoke
from tests.support.databases import KINDS, SERVER, empty
from tests.support.reports import confirmation, report


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with empty(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def two(url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Two processes' view of one database, both just started."""
    opened = Database.connect(url), Database.connect(url)
    try:
        await asyncio.gather(*(d.create() for d in opened))
        yield opened
    finally:
        for database in opened:
            await database.close()


async def test_schema_is_made_once_by_whoever_comes_first(two: tuple[Database, Database]) -> None:
    for database in two:
        async with database.read() as connection:
            assert await connection.run_sync(difference) == []
            assert await connection.run_sync(schema.revision) == schema.head()


async def test_migrations_from_nothing_make_what_the_tables_say(url: str) -> None:
    database = Database.connect(url)

    def baseline(connection: Connection) -> None:
        from alembic import command

        command.upgrade(schema.configuration(connection), schema.revisions()[0])

    async with database.begin() as connection:
        await connection.run_sync(baseline)
    await asyncio.gather(database.create(), database.create())
    async with database.read() as connection:
        assert await connection.run_sync(difference) == []
    await database.close()


async def test_chain_stays_one_with_two_writers_and_a_failed_act_leaves_no_row(two: tuple[Database, Database]) -> None:
    services = [Tokens(database, "0" * 64) for database in two]
    made = (s.create(f"t{n}", ["train"], timedelta(days=1), NOW) for n in range(12) for s in services)
    tokens = await asyncio.gather(*made)
    with pytest.raises(RuntimeError):
        async with two[0].begin() as connection:
            await record(connection, Actor("system", "test"), "token.revoke", "x", {}, NOW)
            raise RuntimeError
    await services[1].revoke(tokens[3]["id"])
    walk = Walk(())
    async for row in Trail(two[0]).every():
        walk.row(row)
    assert walk.end() == [] and walk.rows == 25


async def test_results_are_taken_once_each_by_two_writers(two: tuple[Database, Database]) -> None:
    for node in ("n1", "n2"):
        await enrol(two[0], node)
    reports = [report(n) for n in range(300)]
    stores = [Results(database) for database in two]
    writers = [ResultWriter(store, lambda: NOW) for store in stores]
    async with writers[0].running(), writers[1].running():
        batches = [reports[i : i + 50] for i in range(0, 300, 50)]
        await asyncio.gather(*(w.store(n, b) for w in writers for n in ("n1", "n2") for b in batches))
    await stores[0].store([("n1", [confirmation(reports[0])])], NOW)
    assert [x.node for x in await stores[0].latest(Chosen(), 1000) if x.word is not None] == ["n1"]
    assert len(await stores[0].latest(Chosen(), 1000)) == 600
    assert sum(row["results"] for row in await stores[1].summary(Chosen())) == 600
    assert len([x async for x in stores[1].every(Chosen(since=NOW))]) == 600
    await revoke(two[0], "n2")
    assert await stores[0].store([("n2", reports[:1])], NOW) == {"n2"}


async def test_no_job_is_claimed_twice_and_cancelling_and_finishing_hold(two: tuple[Database, Database]) -> None:
    one, other = (Queue(database) for database in two)
    wanted = {(await one.add(Request("train", f"s{n}", "", frozenset(), {"n": n}), NOW))["job"] for n in range(10)}
    claims = [q.claim(name, 100, 3, NOW) for _ in range(8) for q, name in ((one, "a"), (other, "b"))]
    got = [job.id for job in await asyncio.gather(*claims) if job is not None]
    assert sorted(got) == sorted(wanted)
    for job in await one.list():
        assert job["state"] == "running"
    await one.cancel(got[0], None, NOW)
    assert await other.cancel_asked(got[0])
    assert await one.renew(got[1], "nobody", ("x", 1, 2), [], NOW) == "lost"
    await one.forget(NOW + timedelta(days=400))


async def test_sizes_beyond_two_gigabytes_and_long_texts_fit(two: tuple[Database, Database]) -> None:
    row = {
        "id": "u", "token": "t", "owner": "o", "declared_sha256": "d", "kind": "dataset", "size": 20 * 1024**3, "sha256": "s",
        "part_bytes": 16 * 1024**2, "options": {"深": [1, None, True]}, "created": "c", "touched": "t",
    }  # fmt: skip
    async with two[0].begin() as connection:
        await connection.execute(uploads.insert().values(**row))
        await record(connection, Actor("user", "李" * 40), "release.withdraw", "m@1", {"reason": "漏" * 500}, NOW)
    async with two[1].read() as connection:
        assert (await connection.execute(select(uploads.c.size, uploads.c.options))).one() == (
            20 * 1024**3,
            row["options"],
        )
        assert (await connection.scalar(select(audit.c.actor))) == "李" * 40


async def test_database_of_a_newer_program_is_refused(two: tuple[Database, Database]) -> None:
    async with two[0].begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CoordinatorError) as caught:
        await two[1].create()
    assert caught.value.code == "storage.newer"


@pytest.mark.postgresql
async def test_coordinator_keeps_everything_in_postgresql(tmp_path: Path) -> None:
    async with empty("postgresql", tmp_path) as url:
        await initialise(tmp_path, Config("test", 1, url))
        async with open_coordinator(tmp_path) as coordinator:
            await coordinator.enrolment.invite("Clinic", (), "https://x", NOW)
            await coordinator.releases.announce(NOW)
            assert [r.act for r in await coordinator.trail.newest(Acts(), 9)] == ["node.invite", "coordinator.init"]
        assert not (tmp_path / "coordinator" / "coordinator.sqlite").exists()


@pytest.mark.postgresql
async def test_wrong_name_and_absent_server_are_unreachable(tmp_path: Path) -> None:
    async with empty("postgresql", tmp_path):
        server = os.environ[SERVER]
    for url in (server.replace("/postgres?", "/absent?"), "postgresql://x@127.0.0.1:9/x"):
        database = Database.connect(url)
        with pytest.raises(CoordinatorError) as caught:
            await database.create()
        assert caught.value.code == "storage.unreachable" and caught.value.kind.exit_code == 6
        await database.close()
