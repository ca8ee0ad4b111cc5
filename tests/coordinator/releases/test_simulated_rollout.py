"""A thousand nodes of all kinds in virtual time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.releases.stages import USUAL, Policy, StagedPlan, read_stages
from protocols.trust import bucket
from tests.support.rollout_simulation import NEW, World, mixed_nodes

DAYS = timedelta(days=60)


def usual(**settings_: float) -> StagedPlan:
    return StagedPlan(read_stages(USUAL), ("canary",), Policy(watch_h=24 * 7).changed(settings_))


def summary(world: World) -> tuple[object, ...]:
    return world.history, sorted(world.holders), world.ended, world.decision


def test_a_rollout_with_one_node_in_twenty_failing_is_paused_where_the_rules_say_and_the_same_again() -> None:
    world = World(mixed_nodes(7, 1000, failing=0.05), usual()).run(DAYS)
    assert world.history[-1][1] == "pause failed" and "full" not in [what for _, what, _ in world.history]
    (reason,) = world.decision.reasons
    assert reason.figures["low"] > world.plan.policy.failures_allowed and reason.figures["count"] > 1
    assert len(world.holders) < 550
    assert summary(World(mixed_nodes(7, 1000, failing=0.05), usual()).run(DAYS)) == summary(world)


def test_the_same_nodes_get_it_where_so_many_failures_are_allowed() -> None:
    nodes = mixed_nodes(7, 200, failing=0.05)
    world = World(nodes, usual(failures_allowed=0.1)).run(DAYS)
    assert [what for _, what, _ in world.history] == ["start", "10%", "50%", "full"] and world.ended
    late = {n.id for n in nodes if n.every + n.delay > timedelta(days=6)}
    assert {n.id for n in nodes if not n.fails} - world.holders <= late and not world.holders & {
        n.id for n in nodes if n.fails
    }


def test_a_release_that_is_unsure_far_more_often_is_stopped_at_the_canaries() -> None:
    world = World(mixed_nodes(3, 300, failing=0), usual(), rise=0.2).run(DAYS)
    assert [what for _, what, _ in world.history] == ["start", "pause rose_unsure"]
    assert len(world.holders) <= 20


def test_weekly_sites_are_waited_for() -> None:
    nodes = mixed_nodes(4, 60, failing=0, canaries=6)
    for node in nodes:
        node.every, node.due = timedelta(days=7), node.due + timedelta(days=int(node.id, 16) % 7)
    world = World(nodes, usual()).run(DAYS)
    hours = [hour for hour, _, _ in world.history]
    assert [what for _, what, _ in world.history] == ["start", "10%", "50%", "full"]
    assert hours[1] > 24 and hours[2] - hours[1] >= 48


@pytest.mark.parametrize("heard", [0, 1])
def test_canaries_that_stay_silent_hold_it_for_good(heard: int) -> None:
    nodes = mixed_nodes(5, 50, failing=0, canaries=3)
    for node in nodes[heard:3]:
        node.due += timedelta(days=1000)
    world = World(nodes, usual()).run(timedelta(days=22))
    assert [what for _, what, _ in world.history] == ["start"] and world.decision.is_overdue
    assert len(world.holders) == heard


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.lists(st.integers(1, 100), unique=True, max_size=3).map(sorted),
)
def test_never_beyond_the_stage_and_never_more_once_paused(
    seed: int, failing: float, rise: float, percents: list[int]
) -> None:
    plan = StagedPlan(read_stages(",".join(["canary:8h", *(f"{p}%:8h" for p in percents)])), ("canary",), Policy())
    at_pause: list[set[str]] = []

    def check(world: World) -> None:
        for node in world.nodes:
            if node.active == NEW:
                assert node.groups or bucket(node.id, NEW) < world.percent
        if world.paused:
            at_pause.append(world.holders)

    nodes = mixed_nodes(seed, 60, failing, canaries=6)
    for node in nodes:
        node.delay = timedelta(0)
    world = World(nodes, plan, rise, check).run(timedelta(days=12))
    world.ended = None
    world.run(timedelta(days=20))
    assert all(now <= at_pause[0] for now in at_pause)
