from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from disease_kb import replica
from disease_kb.model import Entry
from disease_kb.seeding import seed_entries
from protocols.artifacts import Artifact
from tests.edge_node.support.node import Node, running
from tests.edge_node.support.releases import Simulator, make_release


def _edited(entry: Entry) -> Entry:
    text = entry.texts[0]
    return replace(entry, texts=(replace(text, en=f"{text.en} (amended)"), *entry.texts[1:]), version=entry.version + 1)


SEED = seed_entries()
OLD = replica.build(SEED)
NEW = replica.build([_edited(SEED[0]), *SEED[1:]])
PATCH = Artifact.of("kb-patch", replica.patch(OLD, NEW)).sha256


def _publish_new(simulator: Simulator) -> None:
    simulator.knowledge = (NEW, "kb-2")
    simulator.former_knowledge = [OLD]


async def _update(node: Node) -> int:
    """Bring the replica up to date; returns the bytes that arrived, metadata included."""
    before = node.source.sent + node.origin.sent
    assert await node.puller.update_knowledge(await node.feed.refresh())
    assert node.cache.path(Artifact.of("kb", NEW).sha256).read_bytes() == NEW
    return node.source.sent + node.origin.sent - before


async def test_one_changed_entry_costs_at_most_5_kb_on_the_wire_with_its_metadata(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], (OLD, "kb-1"))
    async with running(simulator, tmp_path) as node:
        await node.pull()
        _publish_new(simulator)
        assert await _update(node) <= 5_000
        assert not node.cache.path(PATCH).exists()


async def test_other_updates_in_between_do_not_cost_the_base_of_the_patch(tmp_path: Path) -> None:
    simulator = Simulator([make_release()], (OLD, "kb-1"))
    async with running(simulator, tmp_path) as node:
        await node.pull()
        _publish_new(simulator)
        simulator.publish(make_release(version=2))
        await node.sync()
        assert await _update(node) <= 5_000


@pytest.mark.parametrize("fault", ["missing", "damaged", "other base", "base gone"])
async def test_where_the_patch_is_no_use_the_whole_replica_comes(tmp_path: Path, fault: str) -> None:
    simulator = Simulator([make_release()], (OLD, "kb-1"))
    async with running(simulator, tmp_path) as node:
        await node.pull()
        _publish_new(simulator)
        match fault:
            case "missing":
                simulator.missing.add(PATCH)
            case "damaged":
                simulator.replaced[PATCH] = b"MMKP\x01" + bytes(200)
            case "other base":
                simulator.former_knowledge = [replica.build(SEED[:3])]
            case _:
                node.cache.path(Artifact.of("kb", OLD).sha256).unlink()
        assert await _update(node) >= len(NEW)


async def test_a_signed_patch_that_gives_other_bytes_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replica.patch(OLD, replica.build(SEED[:-1]))
    simulator = Simulator([make_release()], (OLD, "kb-1"))
    async with running(simulator, tmp_path) as node:
        await node.pull()
        _publish_new(simulator)
        monkeypatch.setattr(Simulator, "_patches", lambda _: [(OLD, wrong)])
        assert await _update(node) >= len(NEW)
