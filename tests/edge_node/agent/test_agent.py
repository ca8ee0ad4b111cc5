from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from edge_node.agent.agent import Agent
from edge_node.agent.backoff import FIRST_S, MOST_S, delay_s
from edge_node.cache.store import Decision
from edge_node.errors import EdgeError, LimitError, ReleaseRefusedError, UnreachableError
from edge_node.outbox.courier import Link
from edge_node.outbox.errors import CoordinatorOlderError
from edge_node.transfer.limits import Granted, Postponed
from edge_node.trust.catalogue import Catalogue, CatalogueRelease, ListedModel
from edge_node.trust.feed import Snapshot
from protocols.artifacts import Artifact
from protocols.errors import MedMeshError
from tests.edge_node.support.node import now


def test_delays_double_are_spread_and_end() -> None:
    assert [delay_s(n, 1.0) for n in (1, 2, 3)] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delay_s(3, 0.0) == 2 * FIRST_S
    assert delay_s(10_000, 1.0) == MOST_S


class ScriptedSession:
    """Sends its serials, then breaks; None: nothing ever comes."""

    def __init__(self, serials: list[int] | None) -> None:
        self._serials = serials

    async def accepts(self) -> tuple[str, ...]:
        return ()

    async def deliver(self, frame: bytes) -> None:
        raise AssertionError("the outbox is a fake too")

    async def __aiter__(self) -> AsyncIterator[int]:
        for serial in self._serials or []:
            yield serial
            await asyncio.sleep(0)
        if self._serials is None:
            await asyncio.Event().wait()
        raise UnreachableError("edge.gateway_unreachable", url="memory")


class ScriptedGateway:
    """A session for each list of serials; after the last one nothing ever comes."""

    def __init__(self, *sessions: list[int]) -> None:
        self._sessions = list(sessions)
        self.opened = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ScriptedSession]:
        self.opened += 1
        yield ScriptedSession(self._sessions.pop(0) if self._sessions else None)


class SimulatedOutbox:
    """Raises its failures one after the other, sends one record, and then has nothing more to do."""

    def __init__(self, *failures: MedMeshError) -> None:
        self._failures = list(failures)
        self.carried = 0

    async def carry(
        self, link: Link, sent: Callable[[int, int], None], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.carried += 1
        if self._failures:
            raise self._failures.pop(0)
        sent(1, 0)
        await asyncio.Event().wait()


class SimulatedHeartbeats:
    """Tells how the node stands once on each line."""

    def __init__(self) -> None:
        self.serial = 0

    async def carry(self, link: Link, sent: Callable[[int], None], sleep: Callable[[float], Awaitable[None]]) -> None:
        self.serial += 1
        sent(self.serial)
        await asyncio.Event().wait()


class SimulatedUpdates:
    """A coordinator with one release, and failures to come."""

    def __init__(self, serial: int, *failures: Exception) -> None:
        release = CatalogueRelease("malaria", "malaria", serial, "-", Artifact.of("manifest", b""), ())
        model = ListedModel("malaria", "malaria", serial, False, release.name, "", release, None)
        self.catalogue = Catalogue(serial, "Coordinator", None, (model,))
        self.failures = list(failures)
        self.refreshed = self.installed = self.switched = self.kept_up = 0
        self.endless = False

    async def refresh(self) -> Snapshot:
        self.refreshed += 1
        return Snapshot(self.catalogue, now())

    async def bytes_wanted(self, snapshot: Snapshot) -> int:
        return 0 if self.installed else 5_000_000

    async def update_installed(
        self,
        snapshot: Snapshot,
        *,
        fetch: bool,
        evicted: Callable[[str], None],
        declined: Callable[[Decision], None],
    ) -> list[CatalogueRelease]:
        if self.failures:
            raise self.failures.pop(0)
        if fetch and self.endless:
            await asyncio.Event().wait()
        self.switched += 1
        self.installed += fetch
        return list(snapshot.catalogue.releases) if fetch else []

    async def update_knowledge(self, snapshot: Snapshot) -> bool:
        return False


async def run(
    gateway: ScriptedGateway, updates: SimulatedUpdates, outbox: SimulatedOutbox | None = None, **options: Any
) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    async def granted(_: int) -> Granted | Postponed:
        return Granted()

    settings: dict[str, Any] = {
        "kept_serial": 1,
        "auto_update": True,
        "language": "en",
        "permission": granted,
    } | options

    @asynccontextmanager
    async def opened() -> AsyncIterator[SimulatedUpdates]:
        yield updates

    async def upkeep() -> None:
        updates.kept_up += 1
        raise UnreachableError("edge.coordinator_unreachable", url="memory")

    agent = Agent(
        gateway,
        opened,
        outbox or SimulatedOutbox(),
        SimulatedHeartbeats(),
        upkeep,
        settings.pop("permission"),
        lambda event, details: events.append((event, details)),
        sleep=no_sleep,
        chance=lambda: 0.5,
        **settings,
    )
    task = asyncio.create_task(agent.run())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return events


async def test_a_newer_serial_updates_the_models_in_use() -> None:
    updates = SimulatedUpdates(2)
    events = await run(ScriptedGateway([2, 2]), updates)
    assert [e for e, _ in events].count("notice") == 1
    assert ("notice", {"serial": 2}) in events
    assert ("updated", {"disease": "malaria", "release": "malaria@2"}) in events
    assert updates.installed == 1


async def test_the_first_serial_is_looked_into_and_its_repetition_costs_nothing() -> None:
    updates = SimulatedUpdates(1)
    events = await run(ScriptedGateway([1, 1, 0], [1]), updates)
    assert updates.refreshed == 1
    assert "notice" not in [e for e, _ in events]


async def test_ready_comes_once_when_it_is_known_whether_the_coordinator_is_there() -> None:
    online = await run(ScriptedGateway([3, 4]), SimulatedUpdates(4), kept_serial=None)
    assert [(e, d) for e, d in online if e in ("ready", "notice")] == [
        ("ready", {"online": True}),
        ("notice", {"serial": 4}),
    ]
    offline = await run(ScriptedGateway([], [], [2]), SimulatedUpdates(2))
    assert [(e, d) for e, d in offline if e in ("ready", "notice")] == [
        ("ready", {"online": False}),
        ("notice", {"serial": 2}),
    ]


async def test_the_agent_reconnects_whenever_the_line_breaks() -> None:
    gateway, updates = ScriptedGateway([], [], [2]), SimulatedUpdates(2)
    events = await run(gateway, updates)
    assert (gateway.opened, updates.kept_up) == (4, 3)
    assert [d["retry_s"] for e, d in events if e == "disconnected"][:2] == [0.8, 1.5]
    assert any(event == "updated" for event, _ in events)


async def test_a_failed_update_is_tried_again_until_it_succeeds() -> None:
    failure = UnreachableError("edge.broken_off", artifact="abc")
    updates = SimulatedUpdates(2, failure, failure)
    events = await run(ScriptedGateway([2]), updates)
    assert [d["code"] for e, d in events if e == "failed"] == ["edge.broken_off"] * 2
    assert (updates.refreshed, updates.installed) == (3, 1)


async def test_a_refused_release_is_not_tried_again() -> None:
    updates = SimulatedUpdates(2, ReleaseRefusedError("release.self_test_failed", release="malaria@2"))
    events = await run(ScriptedGateway([2, 2]), updates)
    assert [d["code"] for e, d in events if e == "failed"] == ["release.self_test_failed"]
    assert updates.refreshed == 1


async def test_without_auto_update_the_list_alone_is_refreshed() -> None:
    updates = SimulatedUpdates(2)
    await run(ScriptedGateway([2]), updates, auto_update=False)
    assert (updates.refreshed, updates.installed) == (1, 0)


async def test_what_is_queued_goes_out_over_the_same_line() -> None:
    events = await run(ScriptedGateway([1], [1]), SimulatedUpdates(1), outbox := SimulatedOutbox())
    assert ("sent", {"records": 1, "waiting": 0}) in events
    assert outbox.carried == 3, "each new line carries on"


async def test_sending_that_fails_is_told_and_tried_again_while_news_goes_on() -> None:
    outbox = SimulatedOutbox(EdgeError("outbox.busy"), EdgeError("outbox.busy"))
    events = await run(ScriptedGateway(), SimulatedUpdates(1), outbox)
    assert [(d["code"], d["retry_s"]) for e, d in events if e == "failed"] == [
        ("outbox.busy", 0.8),
        ("outbox.busy", 1.5),
    ]
    assert [e for e, _ in events].count("sent") == 1


async def test_an_older_coordinator_is_asked_once_a_connection() -> None:
    outbox = SimulatedOutbox(CoordinatorOlderError("outbox.coordinator_older"))
    events = await run(ScriptedGateway(), SimulatedUpdates(1), outbox)
    assert [d["code"] for e, d in events if e == "failed"] == ["outbox.coordinator_older"]
    assert outbox.carried == 1


class Permission:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *answers: Granted | Postponed) -> None:
        self._answers = list(answers)

    async def __call__(self, wanted_bytes: int) -> Granted | Postponed:
        assert wanted_bytes == 5_000_000
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_a_postponed_update_reads_the_list_switches_to_what_is_cached_and_fetches_nothing() -> None:
    updates = SimulatedUpdates(2)
    events = await run(ScriptedGateway([2]), updates, permission=Permission(Postponed("metered")))
    assert ("postponed", {"reason": "metered", "bytes": 5_000_000, "retry_s": None}) in events
    assert (updates.refreshed, updates.switched, updates.installed) == (1, 1, 0)


async def test_when_the_window_opens_the_update_runs() -> None:
    updates = SimulatedUpdates(2)
    permission = Permission(Postponed("window", retry_s=0.005, spread_s=0.01), Granted(3600))
    events = [e for e, _ in await run(ScriptedGateway([2]), updates, permission=permission)]
    assert events.index("postponed") < events.index("updated")
    assert (updates.refreshed, updates.installed) == (2, 1)


async def test_when_the_window_closes_a_download_is_cut_off() -> None:
    updates = SimulatedUpdates(2)
    updates.endless = True
    events = await run(ScriptedGateway([2]), updates, permission=Permission(Granted(0.005)))
    assert (updates.refreshed, updates.installed) == (1, 0)
    assert not {"updated", "failed"} & {e for e, _ in events}


async def test_a_limit_is_not_run_against_again_and_again() -> None:
    updates = SimulatedUpdates(2, LimitError("edge.quota", least_mb="60.0", quota_mb="50.0"))
    events = await run(ScriptedGateway([2]), updates)
    assert [d["code"] for e, d in events if e == "failed"] == ["edge.quota"]
    assert updates.refreshed == 1
