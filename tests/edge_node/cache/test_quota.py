from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_node.cache.evictor import Evictor
from edge_node.cache.quota import evict, require_fit
from edge_node.cache.store import CacheStore, InstalledRelease
from edge_node.cache.usage import Usage
from edge_node.errors import LimitError
from protocols.artifacts import Artifact
from tests.edge_node.support.node import SimulatedLimits, running
from tests.edge_node.support.releases import Simulator, make_release

DAY0 = datetime(2026, 2, 1, tzinfo=UTC)
TRUNK = Artifact("trunk", "0" * 64, 1000)


def release(model: str, version: int = 1, *, active: bool = True, day: int = 0, own: int = 100) -> InstalledRelease:
    head = Artifact("head", f"{model}{version}".encode().hex().ljust(64, "0"), own)
    return InstalledRelease(model, model, version, active, DAY0 + timedelta(days=day), (TRUNK, head))


OLD, OLD_BEFORE = release("old", 2, day=1), release("old", 1, active=False)
NEW, NEW_BEFORE = release("new", 2, day=3), release("new", 1, active=False, day=2)
ALL = [NEW, NEW_BEFORE, OLD, OLD_BEFORE]  # 1,400 bytes


def names(quota: int, pins: set[tuple[str, str]] | None = None, **options: object) -> tuple[list[str], int]:
    plan = evict(ALL, pins or set(), {}, [], quota, **options)  # type: ignore[arg-type]
    return [r.name for r in plan.releases], plan.bytes_left


def test_previous_versions_go_first_and_no_more_than_needed() -> None:
    assert names(1400) == ([], 1400)
    assert names(1399) == (["old@1"], 1300)
    assert names(1250) == (["old@1", "old@2"], 1200)


def test_the_model_used_last_and_pinned_ones_stay_whole() -> None:
    assert names(0) == (["old@1", "old@2"], 1200)
    assert names(0, {("old", "old")}) == ([], 1400)
    assert names(0, keep={("old", "old")}) == (["new@1", "new@2"], 1200)


def test_use_counts_for_a_model_in_whatever_version_and_more_than_its_installation() -> None:
    used = {("old", "old", 1): DAY0 + timedelta(days=9)}
    assert [r.name for r in evict(ALL, set(), used, [], 1399).releases] == ["new@1"]


def test_shared_files_and_others_count_once() -> None:
    assert evict(ALL, set(), {}, [TRUNK, Artifact("knowledge", "9" * 64, 50)], 10**6).bytes_left == 1450


def test_a_quota_that_cannot_be_met_says_what_it_would_take() -> None:
    with pytest.raises(LimitError) as caught:
        require_fit(evict(ALL, set(), {}, [], 900), 900)
    assert (caught.value.code, caught.value.kind.exit_code) == ("edge.quota", 5)


async def test_use_is_noted_at_most_once_an_hour_and_never_fails(tmp_path: Path) -> None:
    now = DAY0
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        usage, malaria = Usage(store, lambda: now), ("malaria", "malaria", 1)
        await usage.note([malaria])
        now += timedelta(minutes=59)
        await usage.note([malaria])
        assert await store.last_used() == {malaria: DAY0}
        now += timedelta(minutes=2)
        await usage.note([malaria])
        assert await store.last_used() == {malaria: now}
        now = DAY0  # the clock was wrong and is put right
        await usage.note([malaria])
        assert await store.last_used() == {malaria: DAY0}
        now += timedelta(days=1)
        blocker = sqlite3.connect(tmp_path / "i.sqlite")
        blocker.execute("DROP TABLE used")
        blocker.commit()
        blocker.close()
        await usage.note([malaria])


@pytest.mark.parametrize("pinned", [False, True])
async def test_a_pull_makes_room_or_is_refused_with_everything_as_it_was(tmp_path: Path, pinned: bool) -> None:
    skin, eyes = (make_release(disease, padding=disease.encode() * 5000) for disease in ("skin", "eyes"))
    simulator = Simulator([make_release(), skin, eyes])
    limits = SimulatedLimits()
    async with running(simulator, tmp_path, limits=limits) as node:
        await node.pull("malaria")
        await node.pull("skin")
        limits.quota_bytes = node.cache.total_bytes() + 10_000
        await node.store.set_last_used([("malaria", "malaria", 1)], datetime.now(UTC) + timedelta(minutes=1))
        if pinned:
            await node.store.pin("skin", "skin")
            before, received = node.cache.total_bytes(), node.source.sent
            with pytest.raises(LimitError) as caught:
                await node.pull("eyes")
            assert caught.value.code == "edge.quota"
            assert await node.active() == ["malaria@1", "skin@1"]
            assert (before, received) == (node.cache.total_bytes(), node.source.sent)
            return
        snapshot = await node.feed.refresh()
        pulled = await node.puller.pull(snapshot, node.puller.choose(snapshot, "eyes", None), lambda _: None)
        assert pulled.evicted == ("skin@1",)
        assert await node.active() == ["eyes@1", "malaria@1"]
        assert node.cache.total_bytes() <= limits.quota_bytes
        for known in await node.store.installed():
            await node.cache.require(known.files)


async def test_a_pull_over_the_budget_fetches_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    limits = SimulatedLimits(left_bytes=10)
    async with running(Simulator([make_release()]), tmp_path, limits=limits) as node:
        with pytest.raises(LimitError):
            await node.pull()
        assert (await node.active(), node.source.sent) == ([], 0)
        snapshot = await node.feed.refresh()
        malaria = node.puller.choose(snapshot, "malaria", None)
        assert not (await node.puller.pull(snapshot, malaria, lambda _: None, over_budget=True)).already_cached
        assert (await node.puller.pull(snapshot, malaria, lambda _: None)).already_cached


async def test_bytes_wanted_are_those_of_the_models_in_use(tmp_path: Path) -> None:
    simulator = Simulator([make_release(), make_release("skin", padding=b"x" * 9000)])
    async with running(simulator, tmp_path) as node:
        await node.pull("malaria")
        assert await node.puller.bytes_wanted(await node.feed.refresh()) == 0
        simulator.publish(make_release(version=2, padding=b"y" * 5000))
        wanted = await node.puller.bytes_wanted(await node.feed.refresh())
        assert 5000 <= wanted < 8000
        assert await node.sync() == ["malaria@2"]
        assert await node.puller.bytes_wanted(await node.feed.refresh()) == 0


async def test_an_update_makes_room_too_and_tells_of_it(tmp_path: Path) -> None:
    limits = SimulatedLimits()
    simulator = Simulator([make_release(), make_release("skin", padding=b"x" * 20_000)])
    async with running(simulator, tmp_path, limits=limits) as node:
        await node.pull("skin")
        await node.pull("malaria")
        limits.quota_bytes = node.cache.total_bytes() + 10_000
        simulator.publish(make_release(version=2, padding=b"y" * 20_000))
        gone: list[str] = []
        await node.puller.update_installed(await node.feed.refresh(), evicted=gone.append)
        assert (gone, await node.active()) == (["skin@1"], ["malaria@2"])


async def test_lowering_the_quota_below_what_must_stay_is_refused(tmp_path: Path) -> None:
    async with running(Simulator([make_release()]), tmp_path) as node:
        await node.pull()
        evictor = Evictor(node.store, node.cache, node.replica.base, lambda: 1)
        with pytest.raises(LimitError):
            await evictor.require_quota(1)
        await evictor.require_quota(10**9)
        assert await evictor.trim() == []
        assert await node.active() == ["malaria@1"]
