from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError, LimitError
from edge_node.transfer.allowance import Allowance
from edge_node.transfer.budget import Budget
from edge_node.transfer.ledger import WRITE_EVERY_S, Ledger, month_of
from edge_node.transfer.limits import Granted, Limits, Postponed, automatic, passes_budget, seconds_at, set_aside
from edge_node.transfer.traffic import Traffic
from edge_node.transfer.window import Window

NIGHT = Window.parse("22:00-06:00")
LUNCH = Window.parse("12:00-13:00")


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 2, 1, hour, minute, second)


@pytest.mark.parametrize(
    ("window", "now", "opens_in_s", "closes_in_s"),
    [
        (LUNCH, at(11, 59, 30), 30, 3630),
        (LUNCH, at(12), 0, 3600),
        (LUNCH, at(12, 59, 59), 0, 1),
        (LUNCH, at(13), 23 * 3600, 0),
        (NIGHT, at(21), 3600, 9 * 3600),
        (NIGHT, at(22), 0, 8 * 3600),
        (NIGHT, at(0), 0, 6 * 3600),
        (NIGHT, at(5, 59), 0, 60),
        (NIGHT, at(6), 16 * 3600, 0),
    ],
)
def test_a_window_opens_and_closes_also_past_midnight(
    window: Window, now: datetime, opens_in_s: float, closes_in_s: float
) -> None:
    assert window.opens_in_s(now) == opens_in_s
    assert window.closes_in_s(now) % (24 * 3600) == closes_in_s


def test_what_nobody_asked_for_waits_for_the_window_and_is_cut_off_at_its_end() -> None:
    limits = Limits(window=NIGHT)
    assert automatic(limits, 0, 1, at(21)) == Postponed("window", 3600, spread_s=600)
    assert automatic(limits, 0, 1, at(23)) == Granted(within_s=7 * 3600)
    assert automatic(Limits(), 0, 1, at(21)) == Granted(None)


def test_what_nobody_asked_for_keeps_to_the_budget_and_off_metered_links() -> None:
    assert automatic(Limits(metered=True, window=NIGHT), 0, 1, at(23)) == Postponed("metered")
    limits = Limits(monthly_bytes=1000)
    assert automatic(limits, 900, 100, at(1)) == Granted()
    assert automatic(limits, 900, 101, at(1)) == Postponed("budget")
    assert not passes_budget(limits, 5000, 0), "what is cached costs nothing"
    assert not passes_budget(Limits(), 10**12, 10**12)


def test_a_person_is_told_which_limits_are_disregarded() -> None:
    limits = Limits(window=NIGHT, metered=True)
    assert (set_aside(limits, at(12)), set_aside(limits, at(23))) == (["metered", "window"], ["metered"])
    assert set_aside(Limits(), at(12)) == []


def test_seconds_at_a_rate() -> None:
    assert seconds_at(64, 22_000_000) == 2750


class Bench:
    """A process that counts, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.sqlite"
        self.now = datetime(2026, 2, 10, tzinfo=UTC)
        self.opened = 0
        self.fails = False
        self.traffic, self.ledger = self.process()

    def process(self) -> tuple[Traffic, Ledger]:
        traffic = Traffic()
        return traffic, Ledger(traffic, self.book, lambda: self.now)

    @asynccontextmanager
    async def book(self) -> AsyncIterator[CacheStore]:
        if self.fails:
            raise EdgeError("storage.full", path=self.path)
        self.opened += 1
        async with CacheStore.open(self.path) as store:
            yield store


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_bytes_add_up_over_processes_and_start_anew_each_month(bench: Bench) -> None:
    for _ in range(2):
        traffic, ledger = bench.process()
        for _ in range(100):
            traffic.count("coordinator", 10)
        traffic.count("peers_in", 7)
        await ledger.write()
    assert bench.opened == 2, "one write for each process, not for each block"
    bench.traffic.count("mirror", 5)
    used = await bench.ledger.this_month()
    assert (used.month, used.wan_bytes, used.lan_bytes) == ("2026-02", 2005, 14)
    assert used.by_kind == {"coordinator": 2000, "peers_in": 14, "mirror": 5}
    bench.now += timedelta(days=30)
    await bench.ledger.write()
    assert (await bench.ledger.this_month()).by_kind == {"mirror": 5}


async def test_a_book_that_cannot_be_written_loses_nothing_and_fails_nobody(bench: Bench) -> None:
    bench.traffic.count("outbox", 9)
    bench.fails = True
    await bench.ledger.write()
    bench.fails = False
    await bench.ledger.write()
    await bench.ledger.write()
    assert (await bench.process()[1].this_month()).by_kind == {"outbox": 9}


async def test_a_process_that_runs_on_writes_each_minute(bench: Bench) -> None:
    class StoppedError(Exception):
        pass

    waited: list[float] = []

    async def sleep(wait_s: float) -> None:
        waited.append(wait_s)
        bench.traffic.count("metadata", 1)
        if len(waited) == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        await bench.ledger.keep(sleep)
    assert waited == [WRITE_EVERY_S] * 3
    assert (await bench.process()[1].this_month()).wan_bytes == 2


async def test_old_months_are_forgotten(bench: Bench) -> None:
    async with bench.book() as book:
        for year in (2022, 2023, 2024, 2025):
            for month in range(1, 13):
                await book.add_bytes_used(f"{year}-{month:02}", {"metadata": 1})
        assert [await book.bytes_used(month) for month in ("2023-12", "2024-01")] == [{}, {"metadata": 1}]


async def test_the_budget_refuses_with_figures_until_the_month_ends(bench: Bench) -> None:
    limits = Limits(monthly_bytes=30_000_000)
    budget = Budget(lambda: limits, bench.ledger)
    allowance = Allowance(lambda: limits, bench.ledger, lambda: bench.now, lambda: False)
    bench.traffic.count("coordinator", 20_000_000)
    bench.traffic.count("peers_in", 90_000_000)
    await budget.require(10_000_000)
    with pytest.raises(LimitError) as caught:
        await budget.require(10_100_000)
    assert (caught.value.code, caught.value.kind.exit_code) == ("edge.budget_used", 5)
    assert "10.1 MB would pass the budget of 30 MB for 2026-02, of which 20.0 MB" in caught.value.message()
    assert await allowance.automatic(10_100_000) == Postponed("budget")
    beside_others = Allowance(lambda: limits, bench.ledger, lambda: bench.now, lambda: True)
    assert await beside_others.automatic(10_100_000) == Granted(), "they may have it"
    assert await allowance.left_bytes() == 10_000_000
    await bench.ledger.write()
    bench.now += timedelta(days=30)
    await budget.require(10_100_000)


def test_months_are_those_of_the_place() -> None:
    local = datetime(2026, 3, 1, 0, 30).astimezone()
    assert month_of(local.astimezone(UTC)) == "2026-03"
