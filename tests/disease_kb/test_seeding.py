from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest

from disease_kb import native, open_or_build
from disease_kb.model import Entry
from disease_kb.review import review
from disease_kb.seeding import database_path, refresh, seed_entries
from tests.disease_kb.conftest import EntryFactory


class Package:
    """The packaged seed, as a newer release of the program would bring it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def brings(self, *entries: Entry) -> None:
        files = {f"{entry.id}.toml": native.dumps(entry).encode() for entry in entries}
        self._monkeypatch.setattr("disease_kb.seeding.seed_files", lambda: files)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    return Package(monkeypatch)


async def test_an_empty_home_is_built_from_the_packaged_seed(tmp_path: Path) -> None:
    async with await open_or_build(tmp_path) as kb:
        assert await kb.entries() == seed_entries()
    assert database_path(tmp_path).exists()


async def test_a_newer_seed_refreshes_what_nobody_edited(
    tmp_path: Path, package: Package, make_entry: EntryFactory
) -> None:
    package.brings(make_entry("a"), make_entry("b"), make_entry("gone"))
    async with await open_or_build(tmp_path):
        pass
    package.brings(make_entry("a", version=2), make_entry("b"), make_entry("c"))
    async with await open_or_build(tmp_path) as kb:
        assert [(entry.id, entry.version) for entry in await kb.entries()] == [("a", 2), ("b", 1), ("c", 1)]


async def test_a_newer_seed_leaves_edits_reviews_and_imports(
    tmp_path: Path, package: Package, make_entry: EntryFactory
) -> None:
    package.brings(make_entry("edited"), make_entry("signed"), make_entry("withdrawn"))
    signed = review(make_entry("signed"), "reviewed", "A. Doctor", date(2026, 3, 4))
    mine = [
        make_entry("edited", provenance="ours"),
        make_entry("own"),
        signed,
        make_entry("withdrawn", provenance="ours"),
    ]
    async with await open_or_build(tmp_path) as kb:
        await kb.write(mine)
    package.brings(make_entry("edited", version=2), make_entry("signed", version=2), make_entry("own", version=9))
    async with await open_or_build(tmp_path) as kb:
        assert await kb.entries() == mine
        assert (await refresh(kb)).kept == ("edited", "own", "signed")


async def test_a_replica_is_not_mixed_with_the_seed(tmp_path: Path, package: Package, make_entry: EntryFactory) -> None:
    async with await open_or_build(tmp_path) as kb:
        await kb.replace_all([make_entry("from-the-network")])
    package.brings(make_entry("a", version=2))
    async with await open_or_build(tmp_path) as kb:
        assert [entry.id for entry in await kb.entries()] == ["from-the-network"]


async def test_two_first_uses_at_once_build_one_knowledge_base(tmp_path: Path) -> None:
    first, second = await asyncio.gather(open_or_build(tmp_path), open_or_build(tmp_path))
    async with first, second:
        assert await first.version() == await second.version()
        assert len(await second.entries()) == len(seed_entries())
