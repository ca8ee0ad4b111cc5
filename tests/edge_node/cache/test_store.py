from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.choice import choose_installed
from edge_node.cache.lock import exclusive
from edge_node.cache.schema import APPLICATION_ID, MIGRATIONS
from edge_node.cache.store import CacheStore
from edge_node.errors import EdgeError
from protocols.artifacts import Artifact

NOW = datetime(2026, 2, 1, tzinfo=UTC)
TRUNK, HEAD_A, HEAD_B = (Artifact.of(role, role.encode() * 9) for role in ("trunk", "head-a", "head-b"))


def put(folder: Path, *artifacts: Artifact) -> None:
    for artifact in artifacts:
        path = folder / "artifacts" / artifact.sha256
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(artifact.role.encode() * 9)


async def test_activation_keeps_one_previous_version(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        for version in (1, 2, 3):
            await store.activate("malaria", "malaria", version, [TRUNK], NOW)
        await store.activate("malaria", "other", 7, [TRUNK], NOW)
        found = [(r.name, r.active) for r in await store.installed()]
    assert found == [("malaria@3", True), ("malaria@2", False), ("other@7", True)]


async def test_activating_the_same_version_again_replaces_it(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        await store.activate("malaria", "malaria", 1, [TRUNK], NOW)
        await store.activate("malaria", "malaria", 2, [TRUNK], NOW)
        await store.activate("malaria", "malaria", 2, [TRUNK, HEAD_A], NOW)
        found = [(r.name, r.active, len(r.files)) for r in await store.installed()]
    assert found == [("malaria@2", True, 2), ("malaria@1", False, 1)]


async def test_removing_a_release_leaves_what_others_need(tmp_path: Path) -> None:
    put(tmp_path, TRUNK, HEAD_A, HEAD_B)
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        cache = ArtifactCache(tmp_path, store)
        await store.activate("malaria", "malaria", 1, [TRUNK, HEAD_A], NOW)
        await store.activate("skin", "skin", 1, [TRUNK, HEAD_B], NOW)
        await store.remove("malaria", "malaria")
        freed = await cache.discard([TRUNK, HEAD_A])
        assert freed == HEAD_A.size_bytes
        assert [cache.path(a.sha256).exists() for a in (TRUNK, HEAD_A, HEAD_B)] == [True, False, True]
        assert [await cache.holds(a) for a in (TRUNK, HEAD_A)] == [True, False]


async def test_require_refuses_an_altered_file(tmp_path: Path) -> None:
    put(tmp_path, TRUNK)
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        cache = ArtifactCache(tmp_path, store)
        await cache.require([TRUNK])
        path = cache.path(TRUNK.sha256)
        path.write_bytes(b"X" * TRUNK.size_bytes)
        with pytest.raises(EdgeError) as caught:
            await cache.require([TRUNK])
    assert caught.value.code == "edge.cache_damaged"


async def test_bytes_needed_counts_shared_files_once_and_partial_files_partly(tmp_path: Path) -> None:
    put(tmp_path, TRUNK)
    partial = tmp_path / "partial" / HEAD_A.sha256
    partial.parent.mkdir()
    partial.write_bytes(b"12345")
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        cache = ArtifactCache(tmp_path, store)
        assert cache.bytes_needed([TRUNK, HEAD_A, HEAD_A]) == HEAD_A.size_bytes - 5
        assert cache.unfinished_bytes([TRUNK, HEAD_A, HEAD_A]) == HEAD_A.size_bytes


@pytest.mark.parametrize(("content", "code"), [(b"not a database" * 99, "edge.index_damaged")])
async def test_a_damaged_index_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "i.sqlite").write_bytes(content)
    with pytest.raises(EdgeError) as caught:
        async with CacheStore.open(tmp_path / "i.sqlite"):
            pass
    assert caught.value.code == code


async def test_an_index_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "i.sqlite"
    async with CacheStore.open(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(EdgeError) as caught:
        async with CacheStore.open(path):
            pass
    assert caught.value.code == "edge.index_newer"


async def test_choose_installed_prefers_the_active_version_and_knows_the_previous(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        for version in (1, 2):
            await store.activate("malaria", "malaria", version, [TRUNK], NOW)
        installed = await store.installed()
    assert choose_installed(installed, "malaria", None).version == 2
    assert choose_installed(installed, "malaria", "malaria@1").version == 1
    with pytest.raises(EdgeError) as caught:
        choose_installed(installed, "skin", None)
    assert caught.value.code == "edge.not_installed"


async def test_the_lock_admits_one_at_a_time(tmp_path: Path) -> None:
    inside = 0

    async def work() -> None:
        nonlocal inside
        async with exclusive(tmp_path / "lock"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(3)))
    async with exclusive(tmp_path / "lock"):
        with pytest.raises(EdgeError) as caught:
            async with exclusive(tmp_path / "lock", wait_s=0.1):
                pass
    assert caught.value.code == "edge.busy"


async def test_an_index_of_the_former_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "i.sqlite"
    connection = sqlite3.connect(path)
    for statements in MIGRATIONS[:3]:
        for statement in statements:
            connection.execute(statement)
    connection.execute("INSERT INTO release VALUES (1, 'malaria', 'malaria', 1, 'active', '2026-02-01T00:00:00+00:00')")
    connection.execute("INSERT INTO need VALUES (1, 0, 'trunk', ?, 45)", (TRUNK.sha256,))
    connection.execute("PRAGMA user_version = 3")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.commit()
    connection.close()
    async with CacheStore.open(path) as store:
        assert [(r.name, r.files) for r in await store.installed()] == [("malaria@1", (TRUNK,))]
        assert await store.pins() == set()


async def test_chunk_lists_are_kept_with_what_they_belong_to(tmp_path: Path) -> None:
    chunked = replace(TRUNK, chunks="c" * 64)
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        await store.activate("malaria", "malaria", 1, [chunked, HEAD_A], NOW)
        assert (await store.installed())[0].files == (chunked, HEAD_A)
        assert await store.needed() == {TRUNK.sha256, HEAD_A.sha256, "c" * 64}


async def test_removing_a_model_forgets_its_pin_and_its_use(tmp_path: Path) -> None:
    async with CacheStore.open(tmp_path / "i.sqlite") as store:
        await store.activate("malaria", "malaria", 1, [TRUNK], NOW)
        await store.pin("malaria", "malaria")
        await store.set_last_used([("malaria", "malaria", 1)], NOW)
        await store.remove("malaria", "malaria")
        assert (await store.pins(), await store.last_used()) == (set(), {})
