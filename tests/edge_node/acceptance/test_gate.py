"""A site's say, from the pure decision to the model in use: real store, cache, installer and puller."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from edge_node.acceptance.judge import SiteJudge
from edge_node.cache.store import Decision
from edge_node.errors import DeclinedError, EdgeError, ReleaseRefusedError
from protocols.heartbeat import Comparison, Decline
from tests.edge_node.acceptance.site import Clock, Counting, Scripted, fill, note, permuted
from tests.edge_node.support.node import Node, SimulatedLimits, running
from tests.edge_node.support.releases import LABELS, Simulator, make_release


async def synced(node: Node) -> list[Decision]:
    """Refresh and switch; what was declined."""
    found: list[Decision] = []
    await node.puller.update_installed(await node.feed.refresh(), declined=found.append)
    return found


async def accept(node: Node, name: str) -> None:
    await node.puller.accept(await node.feed.kept(), name, lambda _: None)


async def decline(node: Node, name: str) -> None:
    await node.puller.decline(await node.feed.kept(), name, "not on our scanner")


async def test_a_worse_candidate_is_declined_and_the_earlier_release_stays(tmp_path: Path) -> None:
    """The whole way with real files: a head that is right about everything under the wrong names."""
    await note(tmp_path / "site.sqlite", fill(tmp_path / "images"))
    ask = Counting()
    judge = SiteJudge(tmp_path / "site.sqlite", ask=ask)
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path, judge=judge) as node:
        await node.pull()
        simulator.publish(permuted(2))
        (decision,) = await synced(node)
        assert await node.active() == ["malaria@1"]
        assert (decision.name, decision.reason, decision.against) == ("malaria@2", "worse_here", 1)
        assert decision.figures is not None
        assert (decision.figures.candidate, decision.figures.active, decision.figures.n) == (0.0, 1.0, 24)
        assert ask.trunk_runs == 24  # once an image, though two releases saw it
        assert await node.store.declines() == [
            Decline("malaria", "malaria@2", "worse_here", Comparison(0.0, 1.0, -1.0, -1.0, 24, 24))
        ]
        asked = ask.asked
        assert await synced(node) == []  # told once; nothing is computed again
        with pytest.raises(DeclinedError) as caught:
            await node.pull()
        assert (caught.value.code, caught.value.kind.exit_code) == ("acceptance.worse_here", 5)
        assert ask.asked == asked
        assert all([await node.cache.holds(a) for a in decision.files])  # it stays in the cache
        simulator.publish(make_release(version=3, created="2026-04-01"))
        assert await synced(node) == []
        assert await node.active() == ["malaria@3"]
        assert await node.store.declines() == []
        assert ask.asked == asked + 24  # what the release in use answered before was kept


async def test_with_few_images_of_several_labels_or_none_everything_is_taken(tmp_path: Path) -> None:
    await note(tmp_path / "site.sqlite", fill(tmp_path / "images", each=30, only=("red",)))
    judge = SiteJudge(tmp_path / "site.sqlite", ask=Counting())
    for number, site in enumerate((judge, SiteJudge(tmp_path / "nothing.sqlite"))):
        simulator = Simulator([make_release()])
        async with running(simulator, tmp_path / str(number), judge=site) as node:
            await node.pull()
            simulator.publish(permuted(2))
            assert await synced(node) == []
            assert await node.active() == ["malaria@2"]


async def test_a_better_or_equal_candidate_comes_into_use(tmp_path: Path) -> None:
    simulator, judge = Simulator([make_release()]), Scripted("not_worse")
    async with running(simulator, tmp_path, judge=judge) as node:
        await node.pull()
        assert judge.asked == 0  # the first model of a disease has no rival
        simulator.publish(permuted(2))
        assert await synced(node) == []
        assert (await node.active(), judge.asked) == (["malaria@2"], 1)


async def test_a_candidate_that_dies_of_this_sites_images_is_declined(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path, judge=Scripted("died")) as node:
        await node.pull()
        simulator.publish(permuted(2))
        (decision,) = await synced(node)
        assert (decision.reason, await node.active()) == ("failed", ["malaria@1"])
        assert await node.store.declines() == [Decline("malaria", "malaria@2", "failed")]


async def test_newer_images_are_judged_anew_but_not_more_than_daily(tmp_path: Path) -> None:
    simulator, judge, clock = Simulator([make_release()]), Scripted("worse", "worse", "not_worse"), Clock()
    async with running(simulator, tmp_path, judge=judge, clock=clock) as node:
        await node.pull()
        simulator.publish(permuted(2))
        assert len(await synced(node)) == 1
        clock.later = timedelta(days=3)
        assert (await synced(node), judge.asked) == ([], 1)  # the same images: nothing new can come of it
        judge.data = "more images"
        assert (len(await synced(node)), judge.asked) == (1, 2)
        judge.data = "and more"
        assert (await synced(node), judge.asked) == ([], 2)
        clock.later += timedelta(days=1, hours=1)
        assert (await synced(node), judge.asked) == ([], 3)
        assert await node.active() == ["malaria@2"]
        assert await node.store.decisions() == []


async def test_a_clinician_may_take_what_was_declined_and_take_that_back(tmp_path: Path) -> None:
    simulator, judge = Simulator([make_release()]), Scripted("worse")
    async with running(simulator, tmp_path, judge=judge) as node:
        await node.pull()
        simulator.publish(permuted(2))
        await synced(node)
        sent = node.source.sent
        node.origin.gone = True  # the line is not needed for it
        await accept(node, "malaria@2")
        assert (await node.active(), node.source.sent) == (["malaria@2"], sent)
        (mark,) = await node.store.decisions()
        assert (mark.declined, mark.reason) == (False, "by_hand")
        assert mark.figures is not None
        await decline(node, "malaria@2")
        assert await node.active() == ["malaria@1"]
        node.origin.gone = False
        assert await synced(node) == []
        assert await node.active() == ["malaria@1"]
        assert await node.store.declines() == [Decline("malaria", "malaria@2", "by_hand")]
        await accept(node, "malaria@2")
        assert await node.active() == ["malaria@2"]


async def test_a_release_may_be_declined_before_it_comes(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        simulator.publish(permuted(2))
        await node.feed.refresh()
        await decline(node, "malaria@2")
        assert await synced(node) == []
        with pytest.raises(DeclinedError) as caught:
            await node.pull()
        assert caught.value.code == "acceptance.by_hand"
        assert "scanner" not in caught.value.message()  # a person's words stay in the record


async def test_only_what_can_take_its_place_lets_a_release_in_use_be_declined(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path) as node:
        await node.pull()
        with pytest.raises(EdgeError) as caught:
            await decline(node, "malaria@1")
        assert caught.value.code == "acceptance.nothing_before"
        simulator.publish(permuted(2))
        await node.pull()
        simulator.revoked["malaria@1"] = "wrong thresholds"
        await node.feed.refresh()
        with pytest.raises(EdgeError) as caught:
            await decline(node, "malaria@2")
        assert (caught.value.code, await node.active()) == ("acceptance.nothing_before", ["malaria@2"])
        with pytest.raises(EdgeError) as caught:
            await decline(node, "malaria@9")
        assert caught.value.code == "acceptance.unknown_release"


async def test_a_revocation_is_not_stopped_and_leaves_the_declined_one_to_a_person(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path, judge=Scripted("worse")) as node:
        await node.pull()
        simulator.publish(permuted(2))
        await synced(node)
        simulator.revoked["malaria@1"] = "wrong thresholds"
        assert await synced(node) == []
        assert "malaria@1" in (await node.standing()).revoked  # it may not run, declined or not
        assert await node.active() == ["malaria@1"]
        await accept(node, "malaria@2")
        assert await node.active() == ["malaria@2"]
        simulator.revoked["malaria@2"] = "worse still"
        await node.feed.refresh()
        with pytest.raises(EdgeError) as caught:
            await accept(node, "malaria@2")
        assert caught.value.code == "release.revoked"


async def test_nothing_is_compared_with_a_revoked_release(tmp_path: Path) -> None:
    simulator, judge = Simulator([make_release()]), Scripted("worse")
    async with running(simulator, tmp_path, judge=judge) as node:
        await node.pull()
        simulator.revoked["malaria@1"] = "wrong thresholds"
        simulator.publish(permuted(2))
        assert await synced(node) == []
        assert (await node.active(), judge.asked) == (["malaria@2"], 0)


async def test_a_floor_of_the_publisher_lets_a_worse_release_in_and_says_so(tmp_path: Path) -> None:
    simulator = Simulator([make_release()])
    async with running(simulator, tmp_path, judge=Scripted("worse")) as node:
        await node.pull()
        simulator.publish(permuted(2, floor_version=2))
        assert await synced(node) == []
        assert await node.active() == ["malaria@2"]
        (mark,) = await node.store.decisions()
        assert (mark.declined, mark.reason) == (False, "worse_here")
        assert await node.store.declines() == []


async def test_going_back_is_the_publishers_act_and_not_judged(tmp_path: Path) -> None:
    simulator, judge = Simulator([make_release(), permuted(2)]), Scripted("worse")
    async with running(simulator, tmp_path, judge=judge) as node:
        await node.pull()
        assert await node.active() == ["malaria@2"]
        simulator.releases.pop()
        await node.sync()
        assert (await node.active(), judge.asked) == (["malaria@1"], 0)


async def test_a_failed_self_test_comes_before_any_judgement(tmp_path: Path) -> None:
    simulator, judge = Simulator([make_release()]), Scripted("worse")
    async with running(simulator, tmp_path, judge=judge) as node:
        await node.pull()
        simulator.publish(permuted(2))
        node.runner.bias = 5.0
        with pytest.raises(ReleaseRefusedError) as caught:
            await node.pull()
        assert (caught.value.code, judge.asked) == ("release.self_test_failed", 0)


async def test_a_quota_lets_the_files_of_a_declined_release_go_first(tmp_path: Path) -> None:
    simulator, limits = Simulator([make_release()]), SimulatedLimits()
    async with running(simulator, tmp_path, limits=limits, judge=Scripted("worse")) as node:
        await node.pull()
        release = make_release(version=2, labels=(LABELS[1], LABELS[0]), padding=bytes(300_000))
        simulator.publish(release)
        (decision,) = await synced(node)
        assert node.cache.bytes_needed(decision.files) == 0
        limits.quota_bytes = 200_000
        await synced(node)
        simulator.serial += 1
        await synced(node)
        assert node.cache.total_bytes() < limits.quota_bytes
        assert await node.active() == ["malaria@1"]
        assert len(await node.store.declines()) == 1
