"""The queue: one runner a job, bounded attempts, nothing lost when a runner dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import null, update

from coordinator.audit.actor import Actor, acting, current
from coordinator.errors import CoordinatorError
from coordinator.jobs.queue import LEASE, Job, Queue, Request, enqueue
from coordinator.store.database import Database
from coordinator.store.tables import jobs
from tests.support.coordinator import database

NOW = datetime(2026, 2, 1, tzinfo=UTC)
LATER = NOW + LEASE + timedelta(seconds=1)
MANY = 99


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    async with database(tmp_path) as opened:
        yield opened


def request(subject: str = "malaria", owner: str = "north", kind: str = "train", **options: Any) -> Request:
    return Request(kind, subject, owner, frozenset({"train"}), {"effort": "quick", **options})


async def claim(queue: Queue, runner: str = "r", now: datetime = NOW, at_once: int = MANY) -> Job | None:
    return await queue.claim(runner, at_once, 3, now)


async def state(queue: Queue, job: str) -> str:
    return str((await queue.show(job))["state"])


async def test_jobs_run_in_order_with_all_that_was_asked(store: Database) -> None:
    queue = Queue(store)
    asked = [(await queue.add(request(f"set-{n}"), NOW))["job"] for n in range(3)]
    assert await queue.waiting(NOW)
    claimed = [await claim(queue) for _ in range(4)]
    assert [j and j.id for j in claimed] == [*asked, None]
    assert claimed[0] == Job(asked[0], request("set-0"), 1, current.get()) == await queue.held(asked[0], "r")
    assert await queue.held(asked[0], "somebody else") is None and not await queue.waiting(NOW)


async def test_a_job_knows_who_asked_for_it_and_so_does_what_follows_from_it(store: Database) -> None:
    queue = Queue(store)
    ada = Actor("user", "Ada")
    with acting(ada):
        await queue.add(request("set"), NOW)
    claimed = await claim(queue)
    assert claimed is not None and claimed.asked_by == ada
    with acting(claimed.asked_by):
        await queue.finish(claimed.id, "r", {}, request("set"), NOW)
    then = await claim(queue)
    assert then is not None and then.asked_by == ada


@pytest.mark.parametrize(("owner", "actor"), [("north", Actor("token", "north")), ("", Actor("local", ""))])
async def test_a_job_that_an_earlier_version_queued_runs_too(store: Database, owner: str, actor: Actor) -> None:
    queue = Queue(store)
    await queue.add(replace(request("set"), owner=owner), NOW)
    async with store.begin() as connection:
        await connection.execute(update(jobs).values(asked_by=null()))
    claimed = await claim(queue)
    assert claimed is not None and claimed.asked_by == actor


async def test_two_runners_never_have_the_same_job(tmp_path: Path) -> None:
    async with database(tmp_path) as one, database(tmp_path) as two:
        wanted = {(await Queue(one).add(request(f"set-{n}"), NOW))["job"] for n in range(20)}
        claims = [claim(Queue(db), name) for _ in range(12) for db, name in ((one, "a"), (two, "b"))]
        claimed = [job.id for job in await asyncio.gather(*claims) if job is not None]
        assert len(claimed) == len(set(claimed)) == 20 and set(claimed) == wanted


async def test_what_writes_to_the_same_data_set_waits_and_so_does_what_is_too_much_at_once(store: Database) -> None:
    queue = Queue(store)
    first = (await queue.add(request("a"), NOW))["job"]
    second = (await queue.add(request("a"), NOW))["job"]
    other = (await queue.add(request("b"), NOW))["job"]
    assert (await claim(queue)).id == first  # type: ignore[union-attr]
    assert await claim(queue, at_once=1) is None
    assert (await claim(queue)).id == other  # type: ignore[union-attr]
    assert await claim(queue) is None
    await queue.finish(first, "r", {}, None, NOW)
    assert (await claim(queue)).id == second  # type: ignore[union-attr]


async def test_a_job_whose_runner_died_runs_again_but_not_for_ever(store: Database) -> None:
    queue = Queue(store)
    job = (await queue.add(request(), NOW))["job"]
    now = NOW
    for attempt in (1, 2, 3):
        claimed = await claim(queue, f"runner-{attempt}", now)
        assert claimed is not None and claimed.attempts == attempt
        assert await claim(queue, "another", now + LEASE - timedelta(seconds=1)) is None
        now += LEASE + timedelta(seconds=1)
    assert await claim(queue, "last", now) is None
    shown = await queue.show(job)
    assert (shown["state"], shown["error"]["code"], shown["attempts"]) == ("failed", "job.crashed", 3)


async def test_a_runner_that_lost_its_job_changes_nothing(store: Database) -> None:
    queue = Queue(store)
    job = (await queue.add(request(), NOW))["job"]
    await claim(queue, "slow", NOW)
    await claim(queue, "quick", LATER)
    assert await queue.renew(job, "slow", ("x", 1, 2), [], LATER) == "lost"
    await queue.finish(job, "slow", {"from": "slow"}, request("more"), LATER)
    await queue.fail(job, "slow", {"code": "x"}, LATER)
    await queue.stopped(job, "slow", LATER)
    await queue.give_back(job, "slow", counted=True)
    assert await state(queue, job) == "running" and len(await queue.list()) == 1
    await queue.finish(job, "quick", {"from": "quick"}, None, LATER)
    assert (await queue.show(job))["result"] == {"from": "quick"}


async def test_progress_and_result_are_kept_and_what_follows_is_queued_with_them(store: Database) -> None:
    queue = Queue(store)
    job = (await queue.add(request(kind="import"), NOW))["job"]
    await claim(queue)
    assert await queue.renew(job, "r", ("images", 3, 9), [], NOW) == "go on"
    shown = await queue.show(job)
    assert (shown["part"], shown["done"], shown["total"]) == ("images", 3, 9)
    await queue.finish(job, "r", {"accepted": 9}, request(), NOW)
    shown = await queue.show(job)
    follows = await queue.show(shown["result"]["train_job"])
    assert (shown["state"], shown["result"]["accepted"], follows["state"]) == ("done", 9, "queued")


async def test_cancelling(store: Database) -> None:
    queue = Queue(store)
    waiting, running = [(await queue.add(request(f"set-{n}"), NOW))["job"] for n in range(2)]
    with pytest.raises(CoordinatorError, match=r"job\.unknown"):
        await queue.cancel(waiting, "south", NOW)
    assert (await queue.cancel(waiting, "north", NOW))["state"] == "cancelled"
    assert (await claim(queue)).id == running  # type: ignore[union-attr]
    assert (await queue.cancel(running, None, NOW))["state"] == "running"
    assert await queue.cancel_asked(running) and await queue.renew(running, "r", ("", 0, 0), [], NOW) == "cancel"
    await queue.stopped(running, "r", NOW)
    shown = await queue.show(running)
    assert (shown["state"], shown["error"]["code"]) == ("cancelled", "job.cancelled")
    with pytest.raises(CoordinatorError, match=r"job\.ended"):
        await queue.cancel(running, None, NOW)


async def test_a_cancelled_job_whose_runner_died_is_not_run_again(store: Database) -> None:
    queue = Queue(store)
    job = (await queue.add(request(), NOW))["job"]
    await claim(queue)
    await queue.cancel(job, None, NOW)
    assert await claim(queue, "next", LATER) is None and await state(queue, job) == "cancelled"


async def test_a_server_that_stops_does_not_use_up_attempts(store: Database) -> None:
    queue = Queue(store)
    job = (await queue.add(request(), NOW))["job"]
    for _ in range(5):
        assert await claim(queue)
        await queue.give_back(job, "r", counted=False)
    assert (await queue.show(job))["attempts"] == 0
    await claim(queue)
    await queue.give_back(job, "r", counted=True)
    assert (await queue.show(job))["attempts"] == 1


async def test_one_owner_cannot_fill_the_queue(store: Database) -> None:
    async with store.begin() as connection:
        for _ in range(2):
            await enqueue(connection, request(), NOW, most=2)
        with pytest.raises(CoordinatorError, match=r"job\.too_many"):
            await enqueue(connection, request(), NOW, most=2)
        await enqueue(connection, request(owner="south"), NOW, most=2)


async def test_jobs_that_ended_long_ago_are_forgotten_and_waiting_ones_never(store: Database) -> None:
    queue = Queue(store)
    ended, waiting = [(await queue.add(request(f"set-{n}"), NOW))["job"] for n in range(2)]
    await queue.cancel(ended, None, NOW)
    await queue.forget(NOW + timedelta(days=179))
    assert len(await queue.list()) == 2
    await queue.forget(NOW + timedelta(days=181))
    assert [j["job"] for j in await queue.list()] == [waiting]
