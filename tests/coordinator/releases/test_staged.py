"""A staged rollout in the store and in the signed list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from coordinator.audit.log import Chosen, Trail
from coordinator.errors import CoordinatorError
from coordinator.releases.staged import Move, StagedRollouts
from coordinator.releases.stages import Policy, StagedPlan, read_stages
from coordinator.releases.staging import Counts
from coordinator.releases.watch import RolloutWatch
from coordinator.store.leases import hold, let_go
from tests.support.rollout_simulation import Declined, Health, Row
from tests.support.rollouts import NOW, Desk, desk

PLAN = StagedPlan(read_stages("canary:1h,50%:1h,100%"), ("canary",), Policy(least_results=3, watch_h=10))
HOUR = timedelta(hours=1)
NODES = [f"{n:016x}" for n in range(3)]
GOOD = Health(outcomes=Counts(recognised=30, unsure=2))


@pytest_asyncio.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as found:
        found.said = {"malaria@1": rows(GOOD), "malaria@2": rows(None)}
        yield found


def rows(health: Health | None) -> list[Row]:
    return [Row(node, f"site {node[-1]}", ("canary",), NOW, health) for node in NODES]


async def refused(opened: Desk, *nodes: int) -> None:
    """These nodes' self-test turned the new release down; the others run it."""
    found = rows(GOOD)
    for number in nodes:
        found[number] = replace(found[number], health=Health(False, "refused", 1), decline=Declined("self_test"))
    opened.said["malaria@2"] = found


async def acts(opened: Desk) -> list[str]:
    found = await Trail(opened.coordinator.database).newest(Chosen(subject="malaria@2"), 100)
    return [row.act for row in reversed(found)]


async def test_it_goes_through_its_stages_by_itself_and_is_watched_to_the_end(opened: Desk) -> None:
    shown = await opened.rollouts.start("malaria", PLAN, NOW)
    assert (shown["stage"], shown["rollout"]["stage"], shown["rollout"]["number"]) == ("canary", "canary", 1)
    assert opened.offered() == {"malaria@2": (0, ("canary",)), "malaria@1": (100, ())}
    assert await opened.rollouts.look(NOW + 2 * HOUR) == []  # nobody runs it yet
    opened.said = {"malaria@1": rows(None), "malaria@2": rows(GOOD)}
    assert await opened.rollouts.look(NOW + 2 * HOUR) == [Move("malaria@2", "advance", "50%")]
    assert opened.offered()["malaria@2"] == (50, ("canary",))
    assert await opened.rollouts.look(NOW + 2.5 * HOUR) == []
    assert await opened.rollouts.look(NOW + 3 * HOUR) == [Move("malaria@2", "advance", "full")]
    assert await opened.rollouts.look(NOW + 4 * HOUR) == []
    assert (await opened.rollouts.show("malaria", NOW + 4 * HOUR))["rollout"]["reasons"][0]["code"] == "watching"
    assert await opened.rollouts.look(NOW + 14 * HOUR) == [Move("malaria@2", "advance", "full")]
    assert (await opened.rollouts.show("malaria", NOW))["rollout"]["reasons"][0]["code"] == "done"
    await refused(opened, 0, 1, 2)
    assert await opened.rollouts.look(NOW + 15 * HOUR) == [] and not opened.is_paused()
    assert (await acts(opened))[-4:] == ["release.rollout", *["release.advance"] * 3]


async def test_one_failing_canary_pauses_it_with_one_document_and_rollback_takes_it_away(opened: Desk) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    serial = await opened.coordinator.releases.serial()
    await refused(opened, 2)
    assert await opened.rollouts.look(NOW + HOUR / 4) == [Move("malaria@2", "pause", "canary")]
    assert opened.is_paused() and await opened.coordinator.releases.serial() == serial + 1
    assert await opened.rollouts.look(NOW + HOUR) == []
    shown = await opened.rollouts.show("malaria", NOW + HOUR)
    assert (shown["state"], shown["rollout"]["decision"]) == ("paused", "pause")
    assert NODES[2] in shown["rollout"]["reasons"][0]["text"]["en"]
    assert {s["node"]: s["state"] for s in shown["sites"]} == dict(
        zip(NODES, ("running", "running", "failed"), strict=True)
    )
    assert (await acts(opened))[-1] == "release.pause.automatic"
    await opened.coordinator.releases.rollback("malaria", NOW + HOUR)
    assert not opened.is_paused() and opened.offered() == {"malaria@1": (100, ())}
    assert await opened.rollouts.look(NOW + 2 * HOUR) == []


async def test_a_paused_rollout_never_goes_on_by_itself(opened: Desk) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    await refused(opened, 2)
    await opened.rollouts.look(NOW + HOUR)
    opened.said["malaria@2"] = rows(GOOD)
    for hours in (2, 50, 5000):
        assert await opened.rollouts.look(NOW + hours * HOUR) == [] and opened.is_paused()


async def test_a_person_who_lets_it_go_on_is_not_overruled_by_what_was_known_but_by_news(opened: Desk) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    await refused(opened, 2)
    await opened.rollouts.look(NOW + HOUR)
    await opened.coordinator.releases.resume("malaria", NOW + HOUR)
    assert await opened.rollouts.look(NOW + HOUR) == [] and not opened.is_paused()
    await refused(opened, 1, 2)
    assert await opened.rollouts.look(NOW + HOUR) == [Move("malaria@2", "pause", "canary")]


async def test_a_pause_by_hand_does_not_forget_what_was_accepted(opened: Desk) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    await refused(opened, 2)
    await opened.rollouts.look(NOW + HOUR)
    for _ in range(2):
        await opened.coordinator.releases.resume("malaria", NOW + HOUR)
        assert await opened.rollouts.look(NOW + HOUR) == []
        await opened.coordinator.releases.pause("malaria", NOW + HOUR)


async def test_what_nodes_had_counted_before_is_remembered_once_they_have_left_it(opened: Desk) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    unsure = Health(outcomes=Counts(recognised=10, unsure=30))
    opened.said = {"malaria@1": rows(None), "malaria@2": rows(unsure)}
    assert await opened.rollouts.look(NOW + HOUR) == [Move("malaria@2", "pause", "canary")]
    shown = await opened.rollouts.show("malaria", NOW + HOUR)
    assert shown["rollout"]["reasons"][0]["code"] == "rose_unsure" and shown["sites"][0]["before"]["recognised"] == 30


async def test_a_newer_release_of_the_model_holds_an_older_rollout(opened: Desk) -> None:
    await opened.rollouts.start("malaria@2", PLAN, NOW)
    await opened.approved("malaria@3")
    await opened.rollouts.start("malaria@3", PLAN, NOW)
    opened.said["malaria@2"] = rows(GOOD)
    assert await opened.rollouts.look(NOW + 2 * HOUR) == []
    assert (await opened.rollouts.show("malaria@2", NOW))["rollout"]["reasons"][0]["by"] == "malaria@3"


async def test_a_person_may_go_on_to_the_next_stage_or_end_the_plan(opened: Desk) -> None:
    with pytest.raises(CoordinatorError) as caught:
        await opened.rollouts.next("malaria", NOW)
    assert caught.value.code == "rollout.not_staged"
    await opened.rollouts.start("malaria", PLAN, NOW)
    await opened.rollouts.next("malaria", NOW)
    assert (await opened.rollouts.next("malaria", NOW))["stage"] == "full"
    with pytest.raises(CoordinatorError) as caught:
        await opened.rollouts.next("malaria", NOW)
    assert caught.value.code == "rollout.at_the_end"
    await opened.coordinator.releases.rollout("malaria", 30, (), NOW)
    assert (await opened.rollouts.show("malaria", NOW))["rollout"] is None
    assert await opened.rollouts.look(NOW + 100 * HOUR) == []


async def test_canaries_must_exist(opened: Desk) -> None:
    with pytest.raises(CoordinatorError) as caught:
        await opened.rollouts.start("malaria", StagedPlan(PLAN.stages, ("canery",)), NOW)
    assert caught.value.code == "rollout.no_such_group"
    assert (await opened.coordinator.releases.show("malaria"))["state"] == "approved"


async def test_a_decision_made_while_a_person_acted_changes_nothing(
    opened: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    opened.said["malaria@2"] = rows(GOOD)
    rollouts, decided = opened.rollouts, StagedRollouts._decision

    async def meanwhile(*arguments: object) -> object:
        await opened.coordinator.releases.pause("malaria", NOW)
        return await decided(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(StagedRollouts, "_decision", meanwhile)
    assert await rollouts.look(NOW + 2 * HOUR) == []
    assert opened.is_paused() and opened.offered()["malaria@2"] == (0, ("canary",))


async def test_what_was_decided_is_published_after_a_crash(opened: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened.rollouts.start("malaria", PLAN, NOW)
    await refused(opened, 2)
    rollouts, announce = opened.rollouts, opened.coordinator.releases.announce
    calls = iter((announce, None))

    async def dying(now: object) -> None:
        call = next(calls)
        if call is None:
            raise OSError("killed between the store and the signed list")
        await call(now)  # type: ignore[arg-type]

    monkeypatch.setattr(opened.coordinator.releases, "announce", dying)
    with pytest.raises(OSError, match="killed"):
        await rollouts.look(NOW + HOUR)
    monkeypatch.undo()
    assert not opened.is_paused()
    await opened.rollouts.look(NOW + HOUR)
    assert opened.is_paused()


async def test_two_who_announce_at_once_publish_the_newest_state(opened: Desk) -> None:
    releases = opened.coordinator.releases
    await opened.rollouts.start("malaria", PLAN, NOW)
    await asyncio.gather(*(releases.announce(NOW) for _ in range(40)), releases.pause("malaria", NOW))
    assert opened.is_paused()


async def test_one_process_at_a_time_looks_and_another_takes_over(opened: Desk) -> None:
    database, life = opened.coordinator.database, timedelta(minutes=2)
    taken = await asyncio.gather(*(hold(database, "x", who, life, NOW) for who in "abc"))
    assert sum(taken) == 1
    holder = "abc"[taken.index(True)]
    assert await hold(database, "x", holder, life, NOW + life / 2)
    assert not await hold(database, "x", "z", life, NOW + life)
    assert await hold(database, "x", "z", life, NOW + 2 * life)
    await let_go(database, "x", holder)
    assert not await hold(database, "x", holder, life, NOW + 2 * life)
    await let_go(database, "x", "z")
    assert await hold(database, "x", holder, life, NOW + 2 * life)


async def test_the_watch_looks_at_once_on_news_and_outlives_a_failure(
    opened: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("coordinator.releases.watch._GATHER_S", 0)
    monkeypatch.setattr("coordinator.releases.watch._REST", 0)
    looked = asyncio.Queue[int]()
    failing = iter((OSError("disk"), None))

    async def look(_: object) -> list[Move]:
        looked.put_nowait(1)
        if (error := next(failing)) is not None:
            raise error
        return []

    watch = RolloutWatch(look, opened.coordinator.database, lambda: NOW)
    async with watch.running():
        await asyncio.wait_for(looked.get(), 5)
        watch.hear()
        await asyncio.wait_for(looked.get(), 5)
    assert "cannot be looked at" in caplog.text
    assert await hold(opened.coordinator.database, "rollouts", "other", timedelta(1), NOW)
