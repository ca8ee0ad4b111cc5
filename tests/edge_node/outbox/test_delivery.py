"""What is queued reaches the coordinator once each, in order, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from edge_node.errors import EdgeError
from edge_node.outbox.courier import Pace
from edge_node.outbox.outbox import Delivery, Outbox
from protocols.errors import MedMeshError
from protocols.results.batch import MAX_RECORDS
from protocols.results.report import Confirmation, ResultReport
from tests.edge_node.support.outbox import COORDINATOR, OTHER_COORDINATOR, Bench, Coordinator
from tests.edge_node.support.results import result


async def deliver(bench: Bench, coordinator: Coordinator, *, retry_refused: bool = False) -> Delivery:
    return await bench.outbox.deliver(coordinator.connect, retry_refused=retry_refused)


def code(delivery: Delivery) -> str | None:
    return None if delivery.failure is None else delivery.failure.code


async def test_where_nothing_is_queued_nobody_is_called_and_no_file_is_made(bench: Bench) -> None:
    coordinator = Coordinator()
    assert (await deliver(bench, coordinator)).sent == 0
    assert not bench.path.exists()
    await bench.save(result(1))
    assert (await deliver(bench, coordinator)).sent == 1
    assert (await deliver(bench, coordinator)).sent == 0
    assert coordinator.connections == 1


async def test_results_come_before_the_words_on_them(bench: Bench) -> None:
    coordinator = Coordinator()
    ids = await bench.save(*(result(number) for number in range(250)))
    await bench.confirm(ids[0])
    await bench.confirm(ids[0], "parasitized")
    delivery = await deliver(bench, coordinator)
    assert (delivery.sent, delivery.counts.queued, delivery.counts.acknowledged) == (252, 0, 252)
    assert list(coordinator.stored)[:250] == ids
    words = list(coordinator.stored.values())[250:]
    assert [(w.result, w.revision, w.label) for w in words if isinstance(w, Confirmation)] == [
        (ids[0], 1, "uninfected"),
        (ids[0], 2, "parasitized"),
    ]
    assert (len(coordinator.frames), coordinator.connections) == (2, 1)
    assert delivery.counts.wire_bytes == sum(len(frame) + 46 for frame in coordinator.frames)


async def test_a_report_says_what_the_result_says_in_rounded_figures(bench: Bench) -> None:
    coordinator = Coordinator()
    (first,) = await bench.save(result(7))
    await deliver(bench, coordinator)
    report = coordinator.stored[first]
    assert isinstance(report, ResultReport)
    assert (report.disease, report.release, report.outcome) == ("malaria", "malaria@1", "recognised")
    assert [(s.label, s.score, s.entry) for s in report.scores] == [
        (x["label"], round(x["score"], 3), x["entry"]) for x in result(7)["labels"]
    ]
    assert report.made == bench.clock.now


async def test_a_lost_batch_and_a_lost_receipt_are_sent_again_and_counted_once(bench: Bench) -> None:
    coordinator = Coordinator()
    ids = await bench.save(*(result(number) for number in range(450)))
    coordinator.plan = ["fine", "unanswered"]
    first = await deliver(bench, coordinator)
    assert (first.sent, code(first), first.counts.queued) == (200, "outbox.no_receipt", 250)
    coordinator.plan = ["lost"]
    assert code(await deliver(bench, coordinator)) == "edge.gateway_unreachable"
    assert len(coordinator.stored) == 400
    last = await deliver(bench, coordinator)
    assert (last.sent, last.failure, last.counts.queued) == (250, None, 0)
    assert list(coordinator.stored) == ids


async def test_an_older_coordinator_leaves_all_queued(bench: Bench) -> None:
    coordinator = Coordinator()
    coordinator.accepts = ()
    await bench.save(result(1))
    delivery = await deliver(bench, coordinator)
    assert (delivery.sent, code(delivery), delivery.counts.queued) == (0, "outbox.coordinator_older", 1)
    assert coordinator.frames == []


async def test_a_refused_record_is_found_and_set_aside_and_the_others_arrive(bench: Bench) -> None:
    coordinator = Coordinator()
    ids = await bench.save(*(result(number) for number in range(300)))
    coordinator.poison = {ids[77]}
    delivery = await deliver(bench, coordinator)
    assert (delivery.sent, delivery.failure, delivery.counts.queued, delivery.counts.refused) == (299, None, 0, 1)
    assert coordinator.connections <= 9, "halving finds it"
    assert (await deliver(bench, coordinator)).sent == 0
    async with bench.outbox.history() as history:
        assert (await history.show(ids[77])).state == "refused"
    coordinator.poison = set()
    assert (await deliver(bench, coordinator, retry_refused=True)).sent == 1
    assert set(coordinator.stored) == set(ids)


async def test_a_coordinator_that_refuses_everything_is_left_alone_and_nothing_is_set_aside(bench: Bench) -> None:
    coordinator = Coordinator()
    ids = await bench.save(*(result(number) for number in range(20)))
    coordinator.poison = set(ids)
    delivery = await deliver(bench, coordinator)
    assert (delivery.sent, code(delivery)) == (0, "outbox.batch_refused")
    assert (delivery.counts.queued, delivery.counts.refused) == (20, 0)
    assert coordinator.connections < 10


async def test_what_cannot_be_reported_or_read_holds_up_nothing(bench: Bench) -> None:
    coordinator = Coordinator()
    ids = await bench.save(result(1), result(2, "Not A Slug"), result(3) | {"outcome": "cured"}, result(4), result(5))
    with closing(sqlite3.connect(bench.path)) as file, file:
        file.execute("UPDATE record SET brief = x'00' WHERE id = ?", (ids[3],))
    delivery = await deliver(bench, coordinator)
    assert list(coordinator.stored) == [ids[0], ids[4]]
    assert (delivery.failure, delivery.counts.refused, delivery.counts.queued) == (None, 3, 0)


async def test_results_for_a_former_coordinator_are_not_shown_to_the_next(bench: Bench) -> None:
    first, second = Coordinator(), Coordinator()
    bench.joined = None
    (before,) = await bench.save(result(1))
    assert (await deliver(bench, first)).sent == 0
    bench.joined = COORDINATOR
    (mine,) = await bench.save(result(2))
    bench.joined = OTHER_COORDINATOR
    (theirs,) = await bench.save(result(3))
    assert (await deliver(bench, second)).counts.elsewhere == 1
    assert set(second.stored) == {before, theirs}, "who had joined nobody gives to the first"
    bench.joined = COORDINATOR
    await deliver(bench, first)
    assert set(first.stored) == {mine}


async def test_a_word_on_a_sent_result_of_a_former_coordinator_goes_there_too_late(bench: Bench) -> None:
    first, second = Coordinator(), Coordinator()
    (old,) = await bench.save(result(1))
    await deliver(bench, first)
    bench.joined = OTHER_COORDINATOR
    await bench.confirm(old)
    await deliver(bench, second)
    assert second.stored == {}
    async with bench.outbox.history() as history:
        assert (await history.show(old)).state == "elsewhere"


class Carrying:
    """``Outbox.carry`` with a clock that a test turns by hand."""

    def __init__(self, outbox: Outbox, coordinator: Coordinator) -> None:
        self.sent: list[tuple[int, int]] = []
        self.failure: MedMeshError | None = None
        self._outbox = outbox
        self._coordinator = coordinator
        self._turn = asyncio.Semaphore(0)
        self._waits = asyncio.Semaphore(0)

    async def run(self) -> None:
        async with self._coordinator.connect() as link:
            try:
                await self._outbox.carry(link, lambda *counts: self.sent.append(counts), self._sleep)
            except EdgeError as error:
                self.failure = error
            finally:
                for _ in range(100):  # whoever waits for its next look need not
                    self._waits.release()

    async def _sleep(self, _: float) -> None:
        self._waits.release()
        await self._turn.acquire()

    async def look(self, times: int = 3) -> None:
        """Let it look at the file so many times."""
        for _ in range(times):
            self._turn.release()
            await self._waits.acquire()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the file was opened."""
    from edge_node.outbox import outbox

    count: list[int] = []
    original = outbox.OutboxStore.open.__func__  # type: ignore[attr-defined]

    def counting(cls: Any, path: Any) -> Any:
        count.append(1)
        return original(cls, path)

    monkeypatch.setattr(outbox.OutboxStore, "open", classmethod(counting))
    return count


async def test_the_agent_sends_what_other_programs_queue_and_opens_an_unchanged_file_no_more(
    bench: Bench, opened: list[int]
) -> None:
    coordinator = Coordinator()
    carrying = Carrying(bench.outbox, coordinator)
    task = asyncio.create_task(carrying.run())
    await carrying.look()
    assert opened == []
    await bench.save(result(1), result(2))
    await carrying.look()
    assert carrying.sent == [(2, 0)]
    (third,) = await bench.save(result(3))
    await carrying.look()
    await bench.confirm(third)
    await carrying.look()
    assert carrying.sent == [(2, 0), (1, 0), (1, 0)]
    before = len(opened)
    await carrying.look(20)
    assert len(opened) - before <= 1
    assert coordinator.connections == 1
    task.cancel()
    await asyncio.wait([task])


async def test_the_agents_daily_look_removes_what_was_kept_long_enough(bench: Bench) -> None:
    coordinator = Coordinator()
    carrying = Carrying(bench.outbox, coordinator)
    await bench.save(result(1))
    task = asyncio.create_task(carrying.run())
    await carrying.look()
    bench.clock.pass_days(91)
    await carrying.look()
    task.cancel()
    await asyncio.wait([task])
    assert (await bench.outbox.counts()).results == 0


async def test_a_broken_line_ends_carrying_and_a_refusing_coordinator_is_left_alone_for_hours(bench: Bench) -> None:
    coordinator, outbox = Coordinator(), bench.outbox
    ids = await bench.save(*(result(number) for number in range(5)))
    coordinator.poison = set(ids)
    for _ in range(8):
        carrying = Carrying(outbox, coordinator)
        task = asyncio.create_task(carrying.run())
        await carrying.look()
        if carrying.failure is None:
            break
        await task
    task.cancel()
    await asyncio.wait([task])
    tried = len(coordinator.frames)
    assert tried == 5, "five together, two, and three alone"
    again = Carrying(outbox, coordinator)
    task = asyncio.create_task(again.run())
    await again.look()
    assert len(coordinator.frames) == tried
    bench.clock.now += timedelta(hours=7)
    coordinator.poison = set()
    await again.look()
    assert [waiting for _, waiting in again.sent] == [0]
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("poison", [0, 77, 99, 198, 199])
def test_the_pace_finds_one_record_at_fault_by_halves_and_recovers(poison: int) -> None:
    pace, at, refusals = Pace(), 0, 0
    while at <= poison:
        count = min(pace.most, MAX_RECORDS - at)
        if at + count <= poison:
            pace.accepted(count)
            at += count
        elif pace.refused(count):
            at += 1
        else:
            refusals += 1
    assert refusals <= 8 and not pace.is_hopeless
    for _ in range(9):
        pace.accepted(pace.most)
    assert pace.most == MAX_RECORDS
