"""The budget at the moment of spending: over processes, over peers, over kill -9."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_node.cache.store import CacheStore
from edge_node.errors import LimitError
from edge_node.transfer.budget import Budget, Budgeted
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.transfer.ledger import Ledger
from edge_node.transfer.limits import Limits
from edge_node.transfer.throttle import Throttle
from edge_node.transfer.traffic import Traffic
from protocols.artifacts import Artifact
from protocols.chunks import CHUNK_BYTES
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.mesh import TestNode, Wan, introduce, linked, node
from tests.edge_node.support.releases import chunked

DATA = os.urandom(12 * CHUNK_BYTES)
TRUNK, FILES = chunked("trunk", DATA)
NOW = datetime(2026, 2, 10, tzinfo=UTC)


class Home:
    """What the processes of one home share; ``most_bytes`` a month."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.path = folder / "ledger.sqlite"
        self.limits = Limits(monthly_bytes=most_bytes)

    @asynccontextmanager
    async def book(self) -> AsyncIterator[CacheStore]:
        async with CacheStore.open(self.path) as store:
            yield store

    def process(self) -> Process:
        return Process(self)

    async def used(self) -> int:
        return (await Ledger(Traffic(), self.book, lambda: NOW).this_month()).wan_bytes


class Process:
    """One of them, which counts."""

    def __init__(self, home: Home) -> None:
        self.traffic = Traffic()
        self.ledger = Ledger(self.traffic, home.book, lambda: NOW)
        self.budget = Budget(lambda: home.limits, self.ledger)

    def source(self, wan: Wan) -> Budgeted:
        return Budgeted(_Counted(wan, self.traffic), self.budget)


class _Counted:
    def __init__(self, wan: Wan, traffic: Traffic) -> None:
        self._wan, self._traffic = wan, traffic

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        async for data in self._wan.read(artifact, start, stop):
            self._traffic.count("coordinator", len(data))
            yield data


async def test_two_processes_reserve_from_one_budget(tmp_path: Path) -> None:
    home = Home(tmp_path, 1000)
    serve, pull = home.process(), home.process()
    async with serve.budget.reserved(600):
        with pytest.raises(LimitError) as caught:
            async with pull.budget.reserved(600):
                pass
        assert (caught.value.code, caught.value.kind.exit_code) == ("edge.budget_reached", 5)
        async with pull.budget.reserved(400):
            pull.traffic.count("coordinator", 400)
        serve.traffic.count("coordinator", 100)
    await serve.ledger.write()
    await pull.ledger.write()
    assert await home.used() == 500, "what was reserved and not used is free again"
    async with pull.budget.reserved(500):
        pass


async def test_what_is_still_out_in_the_same_process_is_waited_for(tmp_path: Path) -> None:
    process = Home(tmp_path, 1000).process()

    async def fetch() -> None:
        async with process.budget.reserved(600):
            await asyncio.sleep(0.01)
            process.traffic.count("coordinator", 100)

    await asyncio.gather(*(fetch() for _ in range(3)))


async def test_a_killed_process_leaves_its_reservation_so_that_the_budget_holds(tmp_path: Path) -> None:
    home = Home(tmp_path, 1000)
    async with AsyncExitStack() as killed:
        await killed.enter_async_context(home.process().budget.reserved(600))
        killed.pop_all()
    assert await home.used() == 600


async def test_a_waived_budget_and_none_at_all_reserve_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, 1000)
    process = home.process()
    process.budget.waive()
    await process.budget.require(5000)
    async with process.budget.reserved(5000):
        assert await home.used() == 0
    home.limits = Limits()
    async with home.process().budget.reserved(5000):
        assert await home.used() == 0


@asynccontextmanager
async def two(folder: Path, home: Home, wan: Wan) -> AsyncIterator[tuple[TestNode, TestNode, Process]]:
    """A node without limits, and one of ``home``, that know each other."""
    authority = TestAuthority()
    async with node(authority, folder / "rich", wan) as rich, node(authority, folder / "poor", wan) as poor:
        process = home.process()

        async def mesh() -> object:
            return poor.hub

        poor.fetcher = ArtifactFetcher(
            poor.cache,
            [process.source(wan)],
            mesh=mesh,
            afford=process.budget.require,  # type: ignore[arg-type]
        )
        introduce([rich, poor])
        await linked([rich, poor], 1)
        yield rich, poor, process


async def test_what_a_peer_holds_costs_nothing_of_a_budget_that_could_not_pay_for_it(tmp_path: Path) -> None:
    home, wan = Home(tmp_path, 10_000), Wan(FILES, Throttle(0))
    async with two(tmp_path, home, wan) as (rich, poor, process):
        await rich.fetcher.fetch(TRUNK)
        assert await poor.fetcher.fetch(TRUNK)
        assert poor.cache.path(TRUNK.sha256).read_bytes() == DATA
        await process.ledger.write()
        assert await home.used() < 2_000  # the chunk list


async def test_a_budget_for_a_part_is_spent_and_not_passed_and_the_peer_brings_the_rest(tmp_path: Path) -> None:
    home, wan = Home(tmp_path, 3 * CHUNK_BYTES + 10_000), Wan(FILES, Throttle(20_000))
    async with two(tmp_path, home, wan) as (rich, poor, process):
        await asyncio.gather(rich.fetcher.fetch(TRUNK), poor.fetcher.fetch(TRUNK))
        assert poor.cache.path(TRUNK.sha256).read_bytes() == DATA
        await process.ledger.write()
        assert CHUNK_BYTES <= await home.used() <= home.limits.monthly_bytes


async def test_alone_nothing_is_begun_that_the_budget_does_not_hold(tmp_path: Path) -> None:
    home, wan = Home(tmp_path, 2 * CHUNK_BYTES), Wan(FILES, Throttle(0))
    process = home.process()
    async with two(tmp_path, home, wan) as (_, poor, _):
        alone = ArtifactFetcher(poor.cache, [process.source(wan)], afford=process.budget.require)
        with pytest.raises(LimitError) as caught:
            await alone.fetch(TRUNK)
        assert (caught.value.code, wan.sent) == ("edge.budget_used", 0)


async def test_a_budget_that_ends_on_the_way_keeps_what_came_and_goes_on_with_more(tmp_path: Path) -> None:
    """As where a line that breaks makes bytes come twice, or the peers that were there have gone."""
    home, wan = Home(tmp_path, 5 * CHUNK_BYTES), Wan(FILES, Throttle(0))
    process = home.process()
    async with two(tmp_path, home, wan) as (_, poor, _):
        with pytest.raises(LimitError) as caught:
            await ArtifactFetcher(poor.cache, [process.source(wan)]).fetch(TRUNK)
        assert caught.value.code == "edge.budget_reached"
        await process.ledger.write()
        assert wan.sent == await home.used() <= home.limits.monthly_bytes
        assert wan.sent > 4 * CHUNK_BYTES
        home.limits = Limits(monthly_bytes=13 * CHUNK_BYTES)
        await ArtifactFetcher(poor.cache, [home.process().source(wan)]).fetch(TRUNK)
        assert wan.sent == sum(map(len, FILES.values())), "no byte came twice"
