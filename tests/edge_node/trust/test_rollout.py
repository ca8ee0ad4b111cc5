"""What a node runs follows from the signed rollout document: shares, groups, pause, rollback, revocation, floors."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_node.errors import EdgeError, ReleaseRefusedError
from protocols.trust import Offer, bucket
from tests.edge_node.support.node import NODE, Node, running
from tests.edge_node.support.releases import Simulator, make_release

BOTH = (Offer("malaria@2", 100), Offer("malaria@1", 100))


def two() -> Simulator:
    return Simulator([make_release(version=v, padding=bytes([v]) * 9000) for v in (1, 2)], offers={"malaria": BOTH[1:]})


async def cut_off(node: Node) -> int:
    """From now on no artifact can be fetched; returns the bytes fetched so far."""
    node.simulator.missing |= {sha256 for release in node.simulator.releases for sha256 in release.files}
    return node.source.sent


async def test_rollback_switches_to_the_cached_previous_release_without_fetching(tmp_path: Path) -> None:
    simulator = two()
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.offers["malaria"] = BOTH
        assert await node.sync() == ["malaria@2"]
        sent = await cut_off(node)
        simulator.offers["malaria"] = BOTH[1:]
        assert await node.sync() == ["malaria@1"]
        simulator.offers["malaria"] = BOTH
        assert await node.sync() == ["malaria@2"]
        assert node.source.sent == sent


async def test_without_automatic_updates_only_what_is_here_is_switched_to(tmp_path: Path) -> None:
    simulator = two()
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.offers["malaria"] = BOTH
        assert await node.puller.update_installed(await node.feed.refresh(), fetch=False) == []
        assert await node.sync() == ["malaria@2"]
        simulator.offers["malaria"] = BOTH[1:]
        switched = await node.puller.update_installed(await node.feed.refresh(), fetch=False)
        assert [r.name for r in switched] == ["malaria@1"]


async def test_a_revoked_release_gives_way_to_the_previous_one(tmp_path: Path) -> None:
    simulator = two()
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.offers["malaria"] = BOTH
        await node.sync()
        await cut_off(node)
        simulator.revoked["malaria@2"] = "labels were swapped"
        assert await node.sync() == ["malaria@1"]


async def test_a_revoked_release_without_another_is_disabled_with_its_reason(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.revoked["malaria@1"] = "labels were swapped"
        assert await node.sync() == []
        assert (await node.standing()).revoked == {"malaria@1": "labels were swapped"}
        with pytest.raises(EdgeError) as caught:
            await node.pull()
        assert (caught.value.code, caught.value.details["reason"]) == ("release.revoked", "labels were swapped")


async def test_pause_keeps_what_is_in_use_and_gives_others_the_release_before(tmp_path: Path) -> None:
    simulator = two()
    async with running(simulator, tmp_path / "one") as node:
        await node.pull()
        simulator.offers["malaria"], simulator.paused = BOTH, {"malaria"}
        assert await node.sync() == []
        assert await node.active() == ["malaria@1"]
        async with running(simulator, tmp_path / "two") as fresh:
            await fresh.pull()
            assert await fresh.active() == ["malaria@1"]
        simulator.paused = set()
        assert await node.sync() == ["malaria@2"]


async def test_a_share_reaches_the_nodes_below_it(tmp_path: Path) -> None:
    simulator, place = two(), bucket(NODE, "malaria@2")
    async with running(simulator, tmp_path) as node:
        simulator.offers["malaria"] = (Offer("malaria@2", int(place)), BOTH[1])
        await node.pull()
        assert await node.active() == ["malaria@1"]
        simulator.offers["malaria"] = (Offer("malaria@2", int(place) + 1), BOTH[1])
        assert await node.sync() == ["malaria@2"]


def test_shares_are_even_and_differ_from_release_to_release() -> None:
    nodes = [f"{n:016x}" for n in range(4000)]
    first, second = ({n for n in nodes if bucket(n, release) < 30} for release in ("malaria@1", "malaria@2"))
    for reached in (first, second):
        assert 0.27 < len(reached) / len(nodes) < 0.33
    assert 0.07 < len(first & second) / len(nodes) < 0.11


async def test_a_group_comes_before_the_share(tmp_path: Path) -> None:
    simulator = two()
    simulator.offers["malaria"] = (Offer("malaria@2", 0, ("pilot",)), BOTH[1])
    async with (
        running(simulator, tmp_path / "pilot", groups=frozenset({"pilot"})) as pilot,
        running(simulator, tmp_path / "other") as other,
    ):
        await pilot.pull()
        await other.pull()
        assert (await pilot.active(), await other.active()) == (["malaria@2"], ["malaria@1"])


async def test_a_floor_set_by_an_active_release_holds(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release(version=2, floor_version=2)], offers={"malaria": BOTH[1:]})
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.offers["malaria"] = BOTH
        assert await node.sync() == ["malaria@2"]
        simulator.offers["malaria"] = BOTH[1:]
        assert await node.sync() == []
        await node.store.remove("malaria", "malaria")
        with pytest.raises(EdgeError) as caught:
            await node.pull()
        assert caught.value.code == "release.not_offered"


async def test_an_older_program_says_so_and_keeps_its_model(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2, least_node_version="7.1", padding=b"x" * 5000))
        sent = node.source.sent
        with pytest.raises(ReleaseRefusedError) as caught:
            await node.sync()
        assert caught.value.code == "manifest.node_too_old"
        assert (await node.active(), node.source.sent) == (["malaria@1"], sent)
        assert [(e.code, e.subject) for e in await node.store.events()] == [("manifest.node_too_old", "malaria@2")]


async def test_a_failed_self_test_is_recorded_once_and_counted(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(make_release(version=2))
        node.runner.bias = 5.0
        for _ in range(3):
            with pytest.raises(ReleaseRefusedError):
                await node.sync()
        (event,) = await node.store.events()
        assert (event.code, event.subject, event.count) == ("release.self_test_failed", "malaria@2", 3)


async def test_several_models_of_a_disease_are_updated_each_by_its_own_offers(tmp_path: Path) -> None:
    simulator = Simulator([make_release("skin", v, model=m) for v in (1, 2) for m in ("a", "b")])
    simulator.offers["b"] = (Offer("b@1", 100),)
    async with running(simulator, tmp_path) as node:
        for model in ("a", "b"):
            await node.pull("skin", model)
        assert await node.active() == ["a@2", "b@1"]


async def test_a_poll_without_news_costs_less_than_1_kb(tmp_path: Path) -> None:
    simulator = two()
    async with running(simulator, tmp_path) as node:
        await node.pull()
        before = node.origin.sent
        assert await node.sync() == []
        assert node.origin.asked[-2:] == ["metadata/2.root.json", "metadata/timestamp.json"]
        assert node.origin.sent - before < 500
        simulator.repository.renew()
        before = node.origin.sent
        await node.sync()
        assert node.origin.sent - before < 500


@pytest.mark.parametrize("change", ["pause", "rollback", "revoke"])
async def test_pause_rollback_and_revocation_cost_less_than_2_kb(tmp_path: Path, change: str) -> None:
    simulator = two()
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.offers["malaria"] = BOTH
        await node.sync()
        before, fetched = node.origin.sent, node.source.sent
        if change == "pause":
            simulator.paused = {"malaria"}
        elif change == "rollback":
            simulator.offers["malaria"] = BOTH[1:]
        else:
            simulator.revoked["malaria@2"] = "labels were swapped"
        await node.sync()
        assert await node.active() == (["malaria@2"] if change == "pause" else ["malaria@1"])
        assert node.origin.sent - before < 2000
        assert node.source.sent == fetched


async def test_only_new_manifests_are_fetched(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin")])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        node.origin.asked.clear()
        simulator.publish(make_release(version=2))
        await node.sync()
        assert [path.split(".", 1)[1] for path in node.origin.asked if "/releases/" in path] == ["malaria@2"]


async def test_offline_the_list_is_as_last_verified(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin", padding=b"x" * 900)])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        node.origin.gone = True
        kept = await node.feed.newest()
        assert [m.choice for m in kept.catalogue.models] == ["malaria@1", "skin@1"]
        assert kept.failure is not None
        assert kept.failure.code == "edge.coordinator_unreachable"
        release = node.puller.choose(kept, "skin", None)
        assert not (await node.puller.pull(kept, release, lambda _: None)).already_cached
        assert await node.active() == ["malaria@1", "skin@1"]
