"""A state machine: both sides may die between any two steps, and every record is counted once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from coordinator.results.store import Chosen, Results
from coordinator.store.tables import confirmations, results
from edge_node.errors import UnreachableError
from edge_node.outbox.courier import Courier, Pace
from edge_node.outbox.seal import Seal
from edge_node.outbox.store import OutboxStore
from protocols.results.batch import FORMAT, unpack
from tests.edge_node.support.outbox import COORDINATOR, Bench
from tests.edge_node.support.results import result
from tests.support.coordinator import NOW, database

pytestmark = pytest.mark.slow

FATES = (
    "fine",
    "lost on the way",
    "coordinator dies before the commit",
    "coordinator dies after the commit",
    "node dies after the receipt",
    "node dies after noting the receipt",
)


class Died(Exception):  # noqa: N818
    """The node's program is gone, with all that it had in memory."""


class RealCoordinatorLink:
    """A link to the coordinator's real store, with a fate for each batch."""

    def __init__(self, folder: Path, plan: list[str]) -> None:
        self._folder = folder
        self.plan = plan

    async def accepts(self) -> tuple[str, ...]:
        return (FORMAT,)

    async def deliver(self, frame: bytes) -> None:
        fate = self.plan[0] if self.plan else "fine"
        if fate in ("lost on the way", "coordinator dies before the commit"):
            raise UnreachableError("edge.gateway_unreachable", url="memory")
        async with database(self._folder) as opened:
            assert await Results(opened).store([("n1", unpack(frame))], NOW) == set()
        if fate == "coordinator dies after the commit":
            raise UnreachableError("edge.gateway_unreachable", url="memory")


class MortalStore(OutboxStore):
    """The node's store in a program that dies around noting a receipt."""

    plan: list[str]

    async def acknowledge(self, *arguments: object) -> None:
        fate = self.plan.pop(0) if self.plan else "fine"
        if fate == "node dies after the receipt":
            raise Died
        await super().acknowledge(*arguments)  # type: ignore[arg-type]
        if fate == "node dies after noting the receipt":
            raise Died


class ExactlyOnce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.run = self.runner.run
        self.bench = Bench(self.folder / "outbox")
        self.saved: list[str] = []
        self.words: dict[str, str] = {}
        self.run(self._enrol())

    async def _enrol(self) -> None:
        async with database(self.folder, "n1"):
            pass

    @rule(count=st.integers(1, 5))
    def save(self, count: int) -> None:
        start = len(self.saved)
        self.saved += self.run(self.bench.save(*(result(start + k) for k in range(count))))

    @precondition(lambda self: self.saved)
    @rule(index=st.integers(0, 10**6), label=st.sampled_from(["parasitized", "uninfected", "other"]))
    def confirm(self, index: int, label: str) -> None:
        chosen = self.saved[index % len(self.saved)]
        self.run(self.bench.confirm(chosen, label))
        self.words[chosen] = label

    @precondition(lambda self: self.saved)
    @rule(plan=st.lists(st.sampled_from(FATES), max_size=4), most=st.sampled_from([1, 3, 200]))
    def send(self, plan: list[str], most: int) -> None:
        self.run(self._send(plan, most))

    async def _send(self, plan: list[str], most: int) -> None:
        pace = Pace()
        pace.most = most
        async with MortalStore.open(self.bench.path) as store:
            assert isinstance(store, MortalStore)
            store.plan = plan
            seal = Seal(next(iter(self.bench.keystore.keys.values())))
            courier = Courier(store, seal, COORDINATOR, pace, self.bench.clock)
            with suppress(Died, UnreachableError):
                await courier.send_all(RealCoordinatorLink(self.folder, plan))

    async def _at_coordinator(self) -> tuple[list[str], list[str], dict[str, str]]:
        async with database(self.folder) as opened:
            async with opened.read() as connection:
                found = list(await connection.scalars(select(results.c.id).order_by(results.c.number)))
                said = list(await connection.scalars(select(confirmations.c.id)))
            words = {x.report.id: x.word.label async for x in Results(opened).every(Chosen()) if x.word is not None}
        return found, said, words

    @invariant()
    def nothing_is_counted_twice_or_made_up_and_what_is_noted_as_sent_is_there(self) -> None:
        found, said, _ = self.run(self._at_coordinator())
        assert found == self.saved[: len(found)] and len(set(said)) == len(said)
        counts = self.run(self.bench.outbox.counts())
        assert counts.acknowledged <= len(found) + len(said)
        assert counts.results == len(self.saved)

    def teardown(self) -> None:
        try:
            if self.saved:
                self.run(self._send([], 200))
            found, said, words = self.run(self._at_coordinator())
            counts = self.run(self.bench.outbox.counts())
            assert (found, counts.queued, counts.refused) == (self.saved, 0, 0)
            assert counts.acknowledged == len(found) + len(said)
            assert words == self.words
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
