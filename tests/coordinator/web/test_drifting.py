"""Drift alarms on pages: counted seldom, by one at a time, and never waited for where a page must be quick."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from coordinator.fleet.drift import Alarm
from coordinator.fleet.fleet import Fleet, SiteAlarm
from coordinator.web.pages.drifting import Drifting
from tests.support.pages import browsing, text_of
from tests.support.uploads import Clock

RISEN = SiteAlarm("North", "malaria", "malaria@1", Alarm("unsure", 7, (30, 70), (60, 600), 1e-9, 1e-6, 1.0))


class Counter:
    """Counts as slowly as it is told, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []
        self.go = asyncio.Event()
        self.go.set()
        self.fault: Exception | None = None

    async def __call__(self, now: datetime) -> Sequence[SiteAlarm]:
        self.asked.append(now)
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return [RISEN] * len(self.asked)


async def test_it_is_counted_anew_after_ten_minutes_and_not_before() -> None:
    clock, counter = Clock(), Counter()
    drifting = Drifting(counter, clock)
    for minutes in (0, 5, 5, 1):
        clock.pass_(minutes=minutes)
        await drifting.newest()
        await drifting.known()
    assert [(at - counter.asked[0]).total_seconds() / 60 for at in counter.asked] == [0, 11]


async def test_pages_that_ask_at_once_share_one_count_and_quick_ones_show_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Drifting, "patience_s", 0.01)
    clock, counter = Clock(), Counter()
    drifting = Drifting(counter, clock)
    assert len(await drifting.known()) == 1
    counter.go.clear()
    clock.pass_(minutes=11)
    whole = [asyncio.create_task(drifting.newest()) for _ in range(5)]
    assert [len(await drifting.known()) for _ in range(3)] == [1, 1, 1]
    whole[0].cancel()  # who leaves ends nobody else's count
    counter.go.set()
    assert [len((await one).alarms) for one in whole[1:]] == [2] * 4
    assert len(counter.asked) == 2 and len(await drifting.known()) == 2


async def test_a_count_that_fails_hides_no_page(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter()
    drifting = Drifting(counter, Clock())
    counter.fault = OSError("a path")
    with caplog.at_level(logging.WARNING):
        assert list(await drifting.known()) == []
    assert "OSError" in caplog.text and "a path" not in caplog.text
    counter.fault = None
    assert len(await drifting.known()) == 2


async def test_the_overview_counts_them_among_what_needs_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[SiteAlarm] = []

    async def alarms(*_: object) -> list[SiteAlarm]:
        return list(found)

    monkeypatch.setattr(Fleet, "alarms", alarms)
    async with browsing(tmp_path / "home") as browser:
        assert "Rates that have risen" not in text_of((await browser.get("/")).text)
        found += [RISEN, RISEN]
        browser.office.clock.pass_(minutes=11)
        page = (await browser.get("/")).text
        assert "Rates that have risen at a site: 2" in text_of(page) and 'href="/sites/drift"' in page
        assert "North" in (await browser.get("/sites/drift")).text
