from __future__ import annotations

import pytest

from edge_node.transfer.plan import CLAIM_S, GRACE_S, Plan
from protocols.peering import Have

ME, PEER, OTHER = "1" * 16, "2" * 16, "3" * 16
SHA = "ab" * 32


def plan(chunks: int = 8, held: set[int] | None = None) -> Plan:
    return Plan(ME, SHA, chunks, held or set())


def all_to_load(made: Plan, now: float) -> set[int]:
    found = set()
    while (index := made.to_load(now)) is not None:
        made.loading(index, now)
        found.add(index)
    return found


def test_alone_everything_is_loaded_once() -> None:
    made = plan(held={2})
    assert all_to_load(made, 0.0) == {0, 1, 3, 4, 5, 6, 7}


def test_two_nodes_divide_the_chunks_between_them_without_talking() -> None:
    ours, theirs = plan(64), Plan(PEER, SHA, 64, set())
    ours.wants(PEER, wanted=True)
    theirs.wants(ME, wanted=True)
    mine, others = all_to_load(ours, 0.0), all_to_load(theirs, 0.0)
    assert not mine & others
    assert mine | others == set(range(64))


def test_what_a_peer_holds_is_asked_of_it_and_not_loaded() -> None:
    made = plan(2)
    made.has(PEER, Have(SHA, -1))
    assert made.to_load(0.0) is None
    assert sorted(made.to_ask(PEER, is_cut_off=False)) == [0, 1]


def test_a_peer_that_does_not_answer_is_passed_over_and_asked_again_only_without_a_wan() -> None:
    made = plan(2)
    made.has(PEER, Have(SHA, -1))
    made.asked(PEER, 0, 0.0)
    assert made.overdue(2.9) == []
    assert made.overdue(3.1) == [PEER]
    assert made.to_ask(PEER, is_cut_off=False) == []
    assert made.to_load(3.1) is not None
    assert made.to_ask(PEER, is_cut_off=True) != []
    made.struck(PEER)
    assert made.is_out(PEER)
    assert made.to_ask(PEER, is_cut_off=True) == []


def test_a_chunk_that_a_peer_turns_out_to_lack_is_loaded_and_costs_it_nothing() -> None:
    made = plan(1)
    made.has(PEER, Have(SHA, 1))
    made.asked(PEER, 0, 0.0)
    made.lacked(PEER, 0)
    assert made.to_load(0.1) == 0
    assert not made.is_out(PEER)


def test_a_claim_is_left_alone_until_it_moves_no_more() -> None:
    made = plan(1)
    made.claimed(PEER, 0, 0, 0.0)
    assert made.to_load(CLAIM_S - 0.1) is None
    assert made.to_load(CLAIM_S + 0.1) == 0


def test_a_claim_that_moves_for_ever_is_not_believed_for_ever() -> None:
    made = plan(1)
    for second in range(4):
        made.claimed(PEER, 0, second + 1, float(second))
    assert made.to_load(3.5) is None
    made.claimed(PEER, 0, 99, 5.0)
    assert made.to_load(5.5) == 0


def test_of_two_that_load_the_same_chunk_the_lower_instance_goes_on() -> None:
    made = plan(1)
    made.loading(0, 0.0)
    assert not made.claimed(PEER, 0, 0, 0.1)
    higher = Plan(OTHER, SHA, 1, set())
    higher.loading(0, 0.0)
    assert higher.claimed(PEER, 0, 0, 0.1)


def test_an_owner_that_claims_nothing_is_given_two_seconds() -> None:
    made = plan(64)
    made.wants(PEER, wanted=True)
    mine = all_to_load(made, 0.0)
    assert 0 < len(mine) < 64
    assert made.to_load(GRACE_S - 0.1) is None
    assert made.to_load(GRACE_S + 0.1) not in mine


@pytest.mark.parametrize("gives", [True, False])
def test_a_node_that_gives_nothing_leaves_the_wan_to_those_who_do(gives: bool) -> None:
    made = plan(64)
    made.wants(PEER, wanted=True)
    assert (made.to_load(0.0, gives=gives) is not None) == gives
    alone = plan(64)
    assert alone.to_load(0.0, gives=gives) is not None


def test_a_node_whose_chunks_nobody_confirms_holds_back() -> None:
    made = plan(64)
    made.wants(PEER, wanted=True)
    for _ in range(3):
        index = made.to_load(0.0)
        assert index is not None
        made.loading(index, 0.0)
        made.arrived(index)
        made.loaded(index, 0.0, whole=True)
    assert made.to_load(0.0) is None
    made.gained(PEER, index)
    assert made.to_load(0.0) is not None
