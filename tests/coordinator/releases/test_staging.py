"""When a rollout goes on, waits or stops."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.releases import evidence, stage_texts
from coordinator.releases.stages import Policy, Stage
from coordinator.releases.staging import RATES, Counts, Decision, Known, State, Witness, decide, known, unaccepted
from protocols.trust import bucket

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY, TENTH, FULL = Stage(0, 3600), Stage(10, 3600), Stage(100, 0)
GOOD = Counts(recognised=18, unsure=2)


def witness(number: int, state: State = "running", candidate: Counts = GOOD, active: Counts = GOOD) -> Witness:
    return Witness(f"{number:016x}", f"site {number}", True, state, candidate, active, NOW)


def some(count: int, **changes: Counts) -> list[Witness]:
    return [witness(n, **changes) for n in range(count)]


def after(
    hours: float, witnesses: list[Witness], stage: Stage = CANARY, is_last: bool = False, **policy: float
) -> Decision:
    return decide(stage, is_last, timedelta(hours=hours), witnesses, Policy().changed(policy))


def codes(decision: Decision) -> tuple[str, ...]:
    return (decision.act, *(r.code for r in decision.reasons))


def test_a_stage_ends_when_time_nodes_and_results_are_there() -> None:
    assert codes(after(2, some(3))) == ("advance",)


def test_it_waits_for_what_is_missing_and_says_all_of_it() -> None:
    few = [witness(0, candidate=Counts(recognised=5)), witness(1, "waiting", Counts()), witness(2, "silent", Counts())]
    assert codes(after(0.5, few)) == ("wait", "time", "nodes", "results")
    (nodes,) = [r for r in after(0.5, few).reasons if r.code == "nodes"]
    assert nodes.figures == {"running": 1, "needed": 3, "reached": 3, "silent": 1}


def test_a_group_smaller_than_the_least_number_must_be_there_whole() -> None:
    assert codes(after(2, some(2))) == ("advance",)
    assert codes(after(2, [witness(0), witness(1, "silent", Counts())])) == ("wait", "nodes")


def test_silence_never_moves_a_rollout_on_and_in_the_end_asks_a_person() -> None:
    silent = [witness(n, "silent", Counts()) for n in range(5)]
    assert not after(20 * 24, silent).is_overdue
    late = after(400 * 24, silent)
    assert codes(late) == ("wait", "nodes", "results") and late.is_overdue


def test_a_stage_that_reaches_nobody_waits() -> None:
    assert codes(after(2, [])) == ("wait", "nobody", "results")


def test_a_percentage_needs_a_share_of_the_nodes_that_it_reaches() -> None:
    quarter = some(25) + [witness(n, "waiting", Counts()) for n in range(25, 100)]
    assert codes(after(2, quarter, TENTH)) == ("wait", "nodes")
    assert codes(after(2, quarter, TENTH, least_share=0.2)) == ("advance",)
    assert codes(after(2, quarter, CANARY)) == ("advance",)


def test_one_of_three_canaries_that_fails_stops_it_at_once() -> None:
    failing = [*some(2), witness(2, "failed", Counts())]
    assert codes(after(0.01, failing)) == ("pause", "failed")
    assert after(0.01, failing).reasons[0].figures["who"] == ["0000000000000002"]


def test_one_failure_among_many_does_not_stop_it() -> None:
    assert codes(after(2, [*some(20), witness(20, "failed", Counts())])) == ("advance",)


def test_many_failures_among_very_many_do() -> None:
    def failing(all_nodes: int) -> list[Witness]:
        return [witness(n, "failed" if n % 20 == 0 else "running") for n in range(all_nodes)]

    assert after(2, failing(60)).act == "advance"
    assert after(2, failing(400)).act == "pause"
    assert after(2, failing(400), failures_allowed=0.06).act == "advance"


def test_sites_that_decline_stop_it_counted_once_each() -> None:
    same_site = [*some(3), *(Witness(f"{n:016x}", "one", True, "declined") for n in range(10, 16))]
    assert after(2, same_site).act == "advance"
    two = [*some(2), witness(2, "declined", Counts()), witness(3, "declined", Counts())]
    assert codes(after(2, two, confidence=0.95)) == ("pause", "declined")


def test_one_unlucky_result_stops_nothing() -> None:
    unlucky = [witness(0, candidate=Counts(unsure=1)), witness(1, "waiting", Counts())]
    assert after(0.5, unlucky).act == "wait"
    assert after(0.5, [witness(0, candidate=Counts(unsure=19), active=Counts(recognised=1000))]).act == "wait"


@pytest.mark.parametrize("name", RATES)
def test_a_rate_that_rises_beyond_chance_stops_it(name: str) -> None:
    before = Counts(recognised=95, unsure=3, not_this_kind_of_image=1, poor_quality=1)
    worse = Counts(**{"recognised": 20, name: 20})
    assert codes(after(2, some(3, candidate=worse, active=before))) == ("pause", f"rose_{name}")


def test_a_rate_that_was_always_high_at_these_sites_does_not() -> None:
    unsure = Counts(recognised=20, unsure=20)
    assert after(2, some(3, candidate=unsure, active=unsure)).act == "advance"


def test_without_a_release_before_there_is_nothing_to_compare() -> None:
    assert after(2, some(3, candidate=Counts(unsure=50), active=Counts())).act == "advance"


def test_late_news_stops_a_rollout_that_everybody_has() -> None:
    late = [*some(3), Witness("f" * 16, "far away", False, "failed")]
    assert after(24, late, FULL, is_last=True).act == "pause"
    assert codes(after(24, some(3), FULL, is_last=True)) == ("wait", "watching")
    assert after(28 * 24, some(3), FULL, is_last=True).act == "advance"


def test_what_a_person_accepted_stops_nothing_a_second_time() -> None:
    failing = [*some(2), witness(2, "failed", Counts()), witness(3, "declined", Counts())]
    accepted = known(failing)
    assert after(2, unaccepted(failing, accepted)).act == "wait"
    again = [*failing, witness(4, "failed", Counts())]
    assert after(2, unaccepted(again, accepted)).act == "pause"


def test_results_that_a_person_accepted_are_not_judged_again() -> None:
    bad = some(3, candidate=Counts(recognised=20, unsure=20), active=Counts(recognised=100))
    assert after(2, bad).act == "pause"
    later = [witness(n, candidate=Counts(recognised=30, unsure=20), active=Counts(recognised=100)) for n in range(3)]
    assert after(2, unaccepted(later, known(bad))).act == "advance"


def test_counts_that_began_anew_are_all_new() -> None:
    assert Counts(recognised=5, unsure=1).less(Counts(recognised=3)) == Counts(recognised=2, unsure=1)
    assert Counts(recognised=1).less(Counts(recognised=3, unsure=1)) == Counts(recognised=1)


def test_what_is_known_survives_the_store() -> None:
    first = Known("failed", Counts(1, 2, 3, 4, 5))
    assert Known.from_document(first.document()) == first


counts = st.builds(Counts, *[st.integers(0, 300)] * 5)
witnesses = st.lists(
    st.builds(
        Witness,
        st.text("0123456789abcdef", min_size=16, max_size=16),
        st.sampled_from(["", "a", "b"]),
        st.booleans(),
        st.sampled_from(get_args(State)),
        counts,
        counts,
    ),
    max_size=12,
)


@given(witnesses, st.floats(0, 1000), st.integers(0, 100))
def test_it_goes_on_only_with_proof_and_every_reason_has_its_sentence(
    found: list[Witness], hours: float, percent: int
) -> None:
    policy, stage = Policy(), Stage(percent, 3600)
    decision = decide(stage, False, timedelta(hours=hours), found, policy)
    for reason in decision.reasons:
        assert stage_texts.sentence(reason.code, reason.figures, "en") and stage_texts.sentence(
            reason.code, reason.figures, "zh"
        )
    if decision.act == "advance":
        reached = [w for w in found if w.is_reached]
        assert hours >= 1 and sum(w.state == "running" for w in reached) >= min(policy.least_nodes, len(reached)) >= 1
        assert sum(w.candidate.results for w in found) >= policy.least_results
    silent = [w for w in found if w.state == "silent"]
    assert decide(stage, False, timedelta(days=999), silent, policy).act != "advance"


# --- from heartbeats ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Health:
    active: bool = True
    self_test: str = "passed"
    failures: int = 0
    outcomes: Counts = field(default_factory=lambda: Counts(recognised=3))


@dataclass(frozen=True)
class Declined:
    reason: str


@dataclass(frozen=True)
class Row:
    node: str
    site: str = ""
    groups: tuple[str, ...] = ()
    last_seen: datetime | None = NOW
    health: Health | None = None
    decline: Declined | None = field(default=None)


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (Row("a", health=Health()), "running"),
        (Row("a", health=Health(active=False, self_test="refused", failures=4)), "failed"),
        (Row("a", health=Health(active=False, failures=3)), "failed"),
        (Row("a", decline=Declined("failed")), "failed"),
        (Row("a", decline=Declined("self_test")), "failed"),
        (Row("a", decline=Declined("worse_here")), "declined"),
        (Row("a", decline=Declined("by_hand")), "declined"),
        (Row("a"), "waiting"),
        (Row("a", last_seen=NOW - timedelta(days=9)), "silent"),
        (Row("a", last_seen=None), "silent"),
    ],
)
def test_a_heartbeat_makes_a_state(row: Row, state: str) -> None:
    (found,) = evidence.witnesses("m@2", 100, (), NOW - timedelta(days=1), [row], {})
    assert found.state == state


def test_a_node_is_reached_by_group_or_share_if_it_uses_the_model_or_never_spoke() -> None:
    low = next(f"{n:016x}" for n in range(10_000) if bucket(f"{n:016x}", "m@2") < 10)
    high = next(f"{n:016x}" for n in range(10_000) if bucket(f"{n:016x}", "m@2") > 90)
    rows = [Row(low), Row(high), Row("1" * 16, groups=("canary",)), Row("2" * 16, groups=("canary",), last_seen=None)]
    before = {low: Counts(), high: Counts(), "1" * 16: Counts()}
    found = {w.node: w.is_reached for w in evidence.witnesses("m@2", 10, ("canary",), NOW, rows, before)}
    assert found == {low: True, high: False, "1" * 16: True, "2" * 16: True}
    unused = {w.node: w.is_reached for w in evidence.witnesses("m@2", 10, ("canary",), NOW, rows, {})}
    assert unused == {low: False, high: False, "1" * 16: False, "2" * 16: True}


def test_failures_of_one_node_that_tries_again_and_again_count_once() -> None:
    rows = [Row("a", health=Health(active=False, self_test="refused", failures=500))]
    assert evidence.witnesses("m@2", 100, (), NOW, rows, {})[0].candidate.failures == 0


def test_the_most_that_was_heard_of_the_release_before_is_kept() -> None:
    kept = evidence.baseline([[Row("a", health=Health())], []], {})
    assert kept == {"a": Counts(recognised=3)}
    left = evidence.baseline([[Row("a")], []], kept)
    assert left == kept
    more = evidence.baseline(
        [[Row("a", health=Health(outcomes=Counts(recognised=9)))], [Row("b", decline=Declined("x"))]], left
    )
    assert more == {"a": Counts(recognised=9), "b": Counts()}
