"""The rollout document and the decision that a node makes from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.trust import Choice, ModelRollout, Offer, Revocation, Rollout, bucket, choose

NODE = "0123456789abcdef"
NEW, OLD = Offer("malaria@2", 100), Offer("malaria@1", 100)


def rollout(*offers: Offer, paused: bool = False, revoked: tuple[Revocation, ...] = ()) -> tuple[Rollout, ModelRollout]:
    model = ModelRollout("malaria", "malaria", offers, paused)
    return Rollout(7, "Test", "kb@1", (model,), revoked, ("f" * 16,)), model


def decide(document: tuple[Rollout, ModelRollout], active: str | None = None, floor: int = 0, **more: Any) -> Choice:
    return choose(*document, more.get("node", NODE), frozenset(more.get("groups", ())), active, floor)


def test_document_survives_its_bytes() -> None:
    document, _ = rollout(NEW, OLD, revoked=(Revocation("malaria@3", "误诊率高"),))
    assert Rollout.from_bytes(document.to_bytes()) == document


def test_newest_offer_to_all_wins() -> None:
    assert decide(rollout(NEW, OLD), "malaria@1").release == "malaria@2"


def test_a_share_of_the_nodes_gets_the_new_release_and_the_rest_the_old() -> None:
    document = rollout(Offer("malaria@2", 25), OLD)
    got = [decide(document, node=f"{n:016x}").release for n in range(4000)]
    assert 0.22 < got.count("malaria@2") / 4000 < 0.28
    assert set(got) == {"malaria@1", "malaria@2"}


def test_a_growing_share_never_takes_a_release_back() -> None:
    for node in (f"{n:016x}" for n in range(500)):
        at = [decide(rollout(Offer("malaria@2", p), OLD), node=node).release for p in (5, 25, 50, 100)]
        assert at == sorted(at)


def test_groups_come_first_whatever_the_percentage() -> None:
    document = rollout(Offer("malaria@2", 0, ("canary",)), OLD)
    assert decide(document, groups=("canary",)).release == "malaria@2"
    assert decide(document).release == "malaria@1"


def test_pause_keeps_what_a_node_has_and_starts_nothing_new() -> None:
    document = rollout(NEW, OLD, paused=True)
    assert decide(document, "malaria@1").release == "malaria@1"
    assert decide(document, "malaria@2").release == "malaria@2"
    assert decide(document).release == "malaria@1"
    assert decide(rollout(NEW, paused=True)).release is None


def test_rollback_sends_a_node_to_the_release_before() -> None:
    assert decide(rollout(OLD), "malaria@2").release == "malaria@1"


def test_revoked_release_is_neither_kept_nor_chosen_and_says_why() -> None:
    document = rollout(NEW, OLD, revoked=(Revocation("malaria@2", "misses babies"),))
    assert decide(document, "malaria@2") == Choice("malaria@1", "misses babies")
    paused = rollout(NEW, OLD, paused=True, revoked=(Revocation("malaria@2", "misses babies"),))
    assert decide(paused, "malaria@2") == Choice("malaria@1", "misses babies")
    alone = rollout(NEW, paused=True, revoked=(Revocation("malaria@2", "misses babies"),))
    assert decide(alone, "malaria@2") == Choice(None, "misses babies")


def test_nothing_below_the_floor_is_chosen() -> None:
    assert decide(rollout(OLD), "malaria@2", floor=2).release is None


def test_buckets_are_even_and_differ_between_releases() -> None:
    first = [bucket(f"{n:016x}", "malaria@1") for n in range(2000)]
    second = [bucket(f"{n:016x}", "malaria@2") for n in range(2000)]
    assert 48 < sum(first) / 2000 < 52
    both = sum(a < 10 and b < 10 for a, b in zip(first, second, strict=True))
    assert both < 60, "the same clinics would be the first every time"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "medmesh.rollout/2"},
        {"serial": -1},
        {"serial": True},
        {"knowledge": "kb"},
        {"models": [{"disease": "../x", "model": "m", "paused": False, "offers": []}]},
        {"models": [{"disease": "d", "model": "m", "paused": 0, "offers": []}]},
        {
            "models": [
                {
                    "disease": "d",
                    "model": "m",
                    "paused": False,
                    "offers": [{"release": "n@1", "percent": 1, "groups": []}],
                }
            ]
        },
        {
            "models": [
                {
                    "disease": "d",
                    "model": "m",
                    "paused": False,
                    "offers": [{"release": "m@1", "percent": 101, "groups": []}],
                }
            ]
        },
        {"revoked": [{"release": "m@1", "reason": "\x07"}]},
        {"revoked_nodes": ["xyz"]},
        {"coordinator": "x" * 81},
    ],
)
def test_malformed_document_is_refused(change: dict[str, Any]) -> None:
    document, _ = rollout(NEW)
    with pytest.raises(ProtocolError) as caught:
        Rollout.from_bytes(json.dumps(json.loads(document.to_bytes()) | change).encode())
    assert caught.value.code == "rollout.malformed"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_politely(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Rollout.from_bytes(data)
