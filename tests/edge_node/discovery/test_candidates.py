from __future__ import annotations

from edge_node.discovery.candidates import PeerCandidates
from protocols.discovery import MAX_CANDIDATES, Announcement


def peer(number: int) -> Announcement:
    return Announcement("peer", f"{number:016x}", f"10.0.{number // 256}.{number % 256}", 4000)


def test_a_flood_takes_the_free_places_and_pushes_out_nobody() -> None:
    candidates = PeerCandidates()
    assert candidates.hear("known", peer(0))
    candidates.proved(("10.0.0.0", 4000))
    taken = [n for n in range(1, 3001) if candidates.hear(f"forged-{n}", peer(n))]
    assert len(candidates) == MAX_CANDIDATES == len(taken) + 1
    assert candidates.holds("known")


def test_the_place_of_one_that_failed_goes_to_another_and_not_back_to_it() -> None:
    candidates = PeerCandidates()
    for n in range(MAX_CANDIDATES):
        candidates.hear(f"forged-{n}", peer(n))
    assert not candidates.hear("genuine", peer(9999))
    candidates.failed(("10.0.0.7", 4000))
    assert not candidates.hear("forged-7", peer(7))
    assert candidates.hear("genuine", peer(9999))
    candidates.failed(("10.0.0.8", 4000))
    candidates.forgive()
    assert candidates.hear("forged-7", peer(7))


def test_a_goodbye_in_a_proved_peers_name_does_not_remove_it() -> None:
    candidates = PeerCandidates()
    candidates.hear("known", peer(1))
    candidates.hear("other", peer(2))
    candidates.proved(("10.0.0.1", 4000))
    candidates.withdrawn("known")
    candidates.withdrawn("other")
    assert candidates.holds("known") and not candidates.holds("other")
    candidates.failed(("10.0.0.1", 4000))
    assert not candidates.holds("known")


def test_what_is_remembered_of_failures_is_bounded() -> None:
    candidates = PeerCandidates()
    for n in range(5000):
        assert candidates.hear(str(n), peer(n))
        candidates.failed((peer(n).host, 4000))
    assert candidates.hear("0", peer(0))
    assert not candidates.hear("4999", peer(4999))
