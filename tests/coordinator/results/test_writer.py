"""One transaction for many batches; one batch's fault is not the others'; who comes too fast waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from coordinator.errors import CoordinatorError
from coordinator.results.store import Batch, Chosen, Results
from coordinator.results.writer import ResultWriter
from coordinator.store.batching import MOST_WAITING
from protocols.errors import MedMeshError
from tests.support.coordinator import NOW, database
from tests.support.reports import report


class SlowResults(Results):
    """Remembers what came together; can be held up, or made to fail for a node."""

    def __init__(self) -> None:
        self.together: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing: dict[str, Exception] = {}

    async def store(self, batches: Sequence[Batch], now: datetime) -> set[str]:
        await self.open.wait()
        for node, _ in batches:
            if node in self.failing:
                raise self.failing[node]
        self.together.append([node for node, _ in batches])
        return {node for node, _ in batches if node == "revoked"}


async def outcome(writer: ResultWriter, node: str) -> str:
    try:
        await writer.store(node, [report(1)])
    except MedMeshError as error:
        return error.code
    return "stored"


async def test_what_comes_while_a_transaction_runs_shares_the_next() -> None:
    results = SlowResults()
    writer = ResultWriter(results, lambda: NOW)
    async with writer.running():
        results.open.clear()
        tasks = [asyncio.create_task(outcome(writer, f"n{k}")) for k in range(20)]
        await asyncio.sleep(0.01)
        results.open.set()
        assert await asyncio.gather(*tasks) == ["stored"] * 20
    assert [len(group) for group in results.together] in ([20], [1, 19])


async def test_a_failing_batch_takes_no_other_with_it() -> None:
    results = SlowResults()
    results.failing = {
        "full": OperationalError("INSERT", {}, Exception("database or disk is full")),
        "busy": CoordinatorError("storage.busy"),
        "odd": LookupError("a defect"),
    }
    writer = ResultWriter(results, lambda: NOW)
    async with writer.running():
        outcomes = await asyncio.gather(*(outcome(writer, n) for n in ("n1", "full", "n2", "busy", "revoked", "odd")))
        assert outcomes == [
            "stored",
            "results.not_stored",
            "stored",
            "storage.busy",
            "node.revoked",
            "results.not_stored",
        ]
        assert await outcome(writer, "n3") == "stored", "the task goes on"


async def test_who_comes_too_fast_waits_and_memory_stays_bounded() -> None:
    results = SlowResults()
    writer = ResultWriter(results, lambda: NOW)
    async with writer.running():
        results.open.clear()
        tasks = [asyncio.create_task(outcome(writer, "n")) for _ in range(1000)]
        await asyncio.sleep(0.05)
        assert writer._queue.qsize() == MOST_WAITING
        results.open.set()
        assert set(await asyncio.gather(*tasks)) == {"stored"}


async def test_a_connection_that_is_gone_does_not_stop_the_writer() -> None:
    results = SlowResults()
    writer = ResultWriter(results, lambda: NOW)
    async with writer.running():
        results.open.clear()
        gone = asyncio.create_task(outcome(writer, "gone"))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.wait([gone])
        results.open.set()
        assert await outcome(writer, "n") == "stored"


async def test_ten_thousand_results_of_fifty_nodes_take_seconds(tmp_path: Path) -> None:
    names = [f"n{k}" for k in range(50)]
    async with database(tmp_path, *names) as opened:
        results = Results(opened)
        writer = ResultWriter(results, lambda: NOW)
        batches = {name: [report(200 * k + j) for j in range(200)] for k, name in enumerate(names)}
        started = time.perf_counter()
        async with writer.running():
            await asyncio.gather(*(writer.store(name, batch) for name, batch in batches.items()))
        assert time.perf_counter() - started < 20
        assert sum(row["results"] for row in await results.summary(Chosen())) == 10_000


@pytest.mark.parametrize("kill", ["before", "after"])
async def test_an_interrupted_transaction_leaves_all_or_nothing(tmp_path: Path, kill: str) -> None:
    async with database(tmp_path, "n1") as opened:
        results = Results(opened)
        task = asyncio.create_task(results.store([("n1", [report(k) for k in range(500)])], NOW))
        for _ in range(1 if kill == "before" else 50):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        count = sum(row["results"] for row in await results.summary(Chosen()))
        assert count in (0, 500)
