from __future__ import annotations

import random

import pytest

from coordinator.nodes.connections import A_NODE, Crowd
from coordinator.nodes.neighbours import Places, places, reachable
from protocols.messages import MAX_MESSAGE_BYTES, MAX_PEERS, Listening, encode


@pytest.mark.parametrize(
    ("addresses", "source", "kept"),
    [
        (("192.168.1.7", "fd00::7", "169.254.3.3"), "203.0.113.9", ("192.168.1.7", "fd00::7", "169.254.3.3")),
        (("203.0.113.9", "203.0.113.8"), "203.0.113.9", ("203.0.113.9",)),
        (("127.0.0.1", "::1"), "203.0.113.9", ()),
        (("127.0.0.1",), "127.0.0.1", ("127.0.0.1",)),
        (("fe80::1", "0.0.0.0", "224.0.0.251", "255.255.255.255"), "203.0.113.9", ()),
        (("::ffff:10.0.0.5", "10.0.0.5"), "::ffff:203.0.113.9", ("10.0.0.5",)),
    ],
)
def test_only_addresses_of_its_own_network_are_told(
    addresses: tuple[str, ...], source: str, kept: tuple[str, ...]
) -> None:
    assert reachable(Listening(addresses, 4000), source) == tuple((a, 4000) for a in kept)
    assert reachable(None, source) == ()


def test_places_are_a_network_and_a_site_and_no_site_is_no_place() -> None:
    assert places("203.0.113.9", "") == places("::ffff:203.0.113.9", "")
    assert len(places("203.0.113.9", "")) == 1
    assert places("2001:db8:1:1::7", "") == places("2001:db8:1:1:ffff::8%eth0", "")
    assert set(places("203.0.113.9", "North")) & set(places("198.51.100.1", "North")) == {"site North"}


class Town:
    """Nodes that come and go, each at an address of its own."""

    def __init__(self) -> None:
        self.places = Places(random.Random(1))

    def arrive(self, number: int, *where: str) -> None:
        address = (f"10.0.{number // 250}.{number % 250}", 4000)
        self.places.arrive(number, f"node {number}", where, (address,))

    def told(self, now_s: float) -> dict[object, int]:
        return {key: len(message.addresses) for key, message in self.places.news(now_s)}


def test_nodes_of_one_place_hear_of_each_other_and_of_nobody_else() -> None:
    town = Town()
    town.arrive(1, "site North")
    town.arrive(2, "network a", "site North")
    town.arrive(3, "network a")
    town.arrive(4, "network b")
    news = {key: {host for host, _ in message.addresses} for key, message in town.places.news(0)}
    assert news == {1: {"10.0.0.2"}, 2: {"10.0.0.1", "10.0.0.3"}, 3: {"10.0.0.2"}}
    assert town.told(100) == {}


def test_two_lines_of_one_node_are_not_neighbours_nor_is_whoever_claims_its_address() -> None:
    places = Places(random.Random(1))
    for key, node in enumerate(("n1", "n1", "liar")):
        places.arrive(key, node, ("site",), (("10.0.0.1", 4000),))
    assert places.news(0) == []


def test_changes_are_told_together_and_not_more_often_than_every_ten_seconds() -> None:
    town = Town()
    town.arrive(1, "a")
    town.arrive(2, "a")
    assert town.told(0) == {1: 1, 2: 1}
    town.arrive(3, "a")
    assert town.told(1) == {3: 2}
    town.arrive(4, "a")
    assert town.told(9.9) == {4: 3}
    assert town.told(10) == {1: 3, 2: 3}
    assert town.told(19) == {3: 3}


def test_of_a_thousand_near_each_hears_of_sixty_four_by_chance_and_of_no_more() -> None:
    town = Town()
    for number in range(1000):
        town.arrive(number, "a")
    news = town.places.news(0)
    assert {len(message.addresses) for _, message in news} == {MAX_PEERS}
    assert all(len(encode(message)) <= MAX_MESSAGE_BYTES for _, message in news)
    assert len({address for _, message in news for address in message.addresses}) == 1000
    town.arrive(1000, "a")
    assert set(town.told(20)) == {1000}


def test_a_node_that_keeps_coming_back_elsewhere_costs_its_neighbours_little() -> None:
    town = Town()
    for number in range(20):
        town.arrive(number, "a")
    spent = 0
    for step in range(2160):
        town.arrive(100 + step, "a")
        for key, message in town.places.news(step * 40.0):
            spent += len(encode(message)) if key == 0 else 0
        town.places.leave(100 + step)
    assert 0 < spent <= 32_000


def test_the_oldest_lines_of_a_certificate_give_way() -> None:
    crowd = Crowd(most=100)
    for number in range(A_NODE):
        verdict = crowd.arrive(number, "one")
        assert verdict.is_welcome and verdict.close is None and verdict.drop is None
    assert crowd.arrive(A_NODE, "one").close == 0
    assert crowd.arrive("x", "two").close is None
    for number in range(A_NODE + 1, 2 * A_NODE + 1):
        verdict = crowd.arrive(number, "one")
    assert verdict.drop == 0  # it was asked to go and did not
    crowd.leave(0)
    crowd.leave(0)
    assert len(crowd) == 2 * A_NODE + 1


def test_a_full_house_is_full() -> None:
    crowd = Crowd(most=2)
    assert [crowd.arrive(n, str(n)).is_welcome for n in range(3)] == [True, True, False]
