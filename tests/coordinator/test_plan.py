"""From the releases' states to the rollout document."""

from __future__ import annotations

from coordinator.releases.plan import ReleaseState, plan
from protocols.trust import Offer, Revocation


def state(name: str, state: str = "released", percent: int = 100, reason: str = "") -> ReleaseState:
    return ReleaseState(name, "kb" if name.startswith("kb@") else "malaria", state, percent, (), reason)


def offers(*states: ReleaseState) -> tuple[Offer, ...]:
    return plan(states, 1, "Test", ()).models[0].offers


def test_a_partial_rollout_keeps_the_release_before_for_the_rest() -> None:
    assert offers(state("m@1"), state("m@2", percent=10)) == (Offer("m@2", 10), Offer("m@1", 100))


def test_a_full_rollout_names_the_one_before_as_a_way_back() -> None:
    assert offers(state("m@1"), state("m@2"), state("m@3")) == (Offer("m@3", 100), Offer("m@2", 100))


def test_rolled_back_and_proposed_releases_are_not_offered() -> None:
    assert offers(state("m@1"), state("m@2", "rolled back"), state("m@3", "approved")) == (Offer("m@1", 100),)


def test_withdrawn_releases_are_revoked_with_their_reason() -> None:
    document = plan([state("m@1"), state("m@2", "withdrawn", 0, "why")], 1, "Test", ["b" * 16, "a" * 16])
    assert document.revoked == (Revocation("m@2", "why"),)
    assert document.models[0].offers == (Offer("m@1", 100),)
    assert document.revoked_nodes == ("a" * 16, "b" * 16)


def test_a_model_is_paused_while_its_newest_offer_is() -> None:
    assert plan([state("m@1"), state("m@2", "paused", 50)], 1, "T", ()).models[0].paused
    assert not plan([state("m@1", "paused"), state("m@2")], 1, "T", ()).models[0].paused


def test_the_knowledge_base_stands_apart_from_models() -> None:
    document = plan([state("kb@1"), state("kb@2"), state("m@1")], 1, "T", ())
    assert document.knowledge == "kb@2" and [m.model for m in document.models] == ["m"]
