"""Heartbeats of nodes without a line, given to a peer and brought by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_node.peers.luggage import KEPT, MOST_NODES, Luggage
from edge_node.transfer.throttle import Throttle
from protocols import peering
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.mesh import Wan, introduce, linked, node, until

NOW = datetime(2026, 2, 1, tzinfo=UTC)
A, B = "a" * 16, "b" * 16


def test_the_newest_of_each_node_is_kept_of_few_nodes_and_not_for_long() -> None:
    luggage = Luggage()
    luggage.put(A, b"first", NOW)
    luggage.put(A, b"second", NOW)
    luggage.put("no node", b"x", NOW)
    assert luggage.waiting(NOW) == [(A, b"second")]
    luggage.brought(A, b"first")
    assert luggage.waiting(NOW) == [(A, b"second")], "a newer one came while the former was on its way"
    luggage.brought(A, b"second")
    assert luggage.waiting(NOW) == []
    for number in range(MOST_NODES + 5):
        luggage.put(f"{number:016x}", b"x", NOW + timedelta(seconds=number))
    kept = luggage.waiting(NOW)
    assert len(kept) == MOST_NODES and kept[0][0] == f"{5:016x}"
    assert len(luggage.waiting(NOW + KEPT + timedelta(seconds=10))) < MOST_NODES


def test_an_older_peer_says_nothing_of_carrying_and_is_asked_for_nothing() -> None:
    greeting = peering.decode('{"type":"peer","instance":"0123456789abcdef","gives":true,"wire":1}')
    assert isinstance(greeting, peering.Greeting) and not greeting.carries


async def test_a_node_without_a_line_gives_its_heartbeat_to_peers_that_carry(
    authority: TestAuthority, tmp_path: Path
) -> None:
    wan = Wan({}, Throttle(0.0))

    async def sealed() -> bytes | None:
        return b"sealed to the coordinator"

    async def online() -> bytes | None:
        return None

    async with (
        node(authority, tmp_path / A, wan) as first,
        node(authority, tmp_path / B, wan) as second,
        node(authority, tmp_path / ("c" * 16), wan, gives=False) as selfish,
    ):
        first.hub.to_carry = sealed
        introduce([first, second, selfish])
        await linked([second], 1)
        await until(lambda: len(first.hub._links) == 2)
        await first.hub.ask_to_carry()
        await until(lambda: bool(second.hub.luggage.waiting(NOW)))
        second.hub.to_carry = online
        await second.hub.ask_to_carry()
        assert second.hub.luggage.waiting(NOW) == [(A, b"sealed to the coordinator")]
        assert first.hub.luggage.waiting(NOW) == selfish.hub.luggage.waiting(NOW) == []
