"""A node remembers how long the coordinator's audit trail was, and says so when it shrinks."""

from __future__ import annotations

from pathlib import Path

from edge_node.trust.heads import FILE, kept, see
from protocols.audit import Head
from tests.edge_node.support.node import Node, running
from tests.edge_node.support.releases import Simulator, make_release


def tell(simulator: Simulator, count: int, minute: int, hash_: str = "a") -> None:
    """The coordinator's next timestamp carries a head."""
    head = Head(count, hash_ * 64, f"2026-01-01T00:{minute:02d}:00+00:00")
    timestamp = simulator.repository.timestamp
    timestamp.version += 1
    timestamp.unrecognized_fields["audit"] = head.document()
    simulator.repository.put_timestamp()


def counts(node: Node, folder: Path) -> list[int]:
    (found,) = folder.rglob(FILE)
    return [document["signed"]["audit"]["count"] for document in kept(found.parent)]


async def test_heads_are_kept_and_a_trail_that_was_cut_off_is_noted_while_updates_go_on(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        for count, minute in ((4, 1), (9, 2), (6, 3)):
            tell(simulator, count, minute)
            await node.sync()
        assert counts(node, tmp_path) == [4, 9, 6]
        (event,) = await node.store.events()
        assert event.code == "trust.audit_changed" and "9 rows" in event.message
        simulator.publish(make_release(version=2))
        assert await node.sync() == ["malaria@2"]


def test_damaged_file_and_odd_timestamps_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff")
    for timestamp in (b"", b"[]", b'{"signed": {"audit": 7}, "signatures": []}', b'{"signed": {}, "signatures": []}'):
        assert see(tmp_path, timestamp) is None
    assert kept(tmp_path) == []
