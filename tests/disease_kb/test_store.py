from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from disease_kb import KnowledgeBase
from disease_kb.connection import set_aside, transaction
from disease_kb.document import digest
from disease_kb.errors import ConflictError, InvalidEntryError, StoreError
from disease_kb.model import Code, Text
from disease_kb.schema import MIGRATIONS
from tests.disease_kb.conftest import EntryFactory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kb" / "kb.sqlite"


def _damage(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, and longer than a header " * 100)


def _foreign(path: Path) -> bytes:
    path.parent.mkdir()
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE patients (name)")
    foreign.commit()
    foreign.close()
    return path.read_bytes()


def _content(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_new_file_holds_nothing(path: Path) -> None:
    async with await KnowledgeBase.open(path) as kb:
        assert await kb.entries() == []
        assert await kb.get("malaria") is None
        assert await kb.by_code("B54") == []


async def test_entries_outlive_the_process(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry()])
        version = await kb.version()
    async with await KnowledgeBase.open(path) as kb:
        assert await kb.get("grey-fever") == make_entry()
        assert await kb.version() == version


async def test_the_version_tells_content_and_nothing_else(path: Path, make_entry: EntryFactory) -> None:
    one, two = make_entry("one"), make_entry("two")
    async with await KnowledgeBase.open(path) as kb:
        await kb.replace_all([one, two])
        first = await kb.version()
        await kb.replace_all([two, one])
        assert await kb.version() == first
        await kb.write([make_entry("two", version=2)])
        assert await kb.version() != first


async def test_exact_codes_come_before_broader_ones(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write(
            [
                make_entry("aa", codes=(Code("ICD-10", "C43", "broad"),)),
                make_entry("zz", codes=(Code("ICD-10", "C43", "exact"),)),
            ]
        )
        assert [entry.id for entry in await kb.by_code("c43")] == ["zz", "aa"]


async def test_replace_all_leaves_nothing_of_the_old(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.replace_all([make_entry("old", "旧热", "Old fever")])
        await kb.replace_all([make_entry("new", "新热", "New fever")])
        assert [entry.id for entry in await kb.entries()] == ["new"]
        assert [hit.id for hit in await kb.search("热")] == ["new"]
        assert await kb.match_label("old fever", "x") == []


async def test_a_duplicate_id_changes_nothing(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.replace_all([make_entry()])
        with pytest.raises(InvalidEntryError) as caught:
            await kb.replace_all([make_entry("twice"), make_entry("twice")])
        assert caught.value.code == "kb.id.duplicate"
        assert await kb.entries() == [make_entry()]


async def test_a_failed_write_leaves_no_trace(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry()])
        broken = make_entry("broken", texts=(Text("name", "坏", 7),))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await kb.write([make_entry("first"), broken])
        with pytest.raises(TypeError):
            await kb.write([broken])
        assert [entry.id for entry in await kb.entries()] == ["grey-fever"]


async def test_readers_see_the_old_state_until_a_write_is_whole(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry()])
        async with transaction(path) as connection:
            await connection.execute("DELETE FROM entry")
            assert len(await kb.entries()) == 1
        assert await kb.entries() == []


async def test_writers_at_the_same_time_all_succeed(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb, await KnowledgeBase.open(path) as other:
        await asyncio.gather(*(side.write([make_entry(f"n{n}")]) for n, side in enumerate([kb, other] * 6)))
        assert len(await kb.entries()) == 12


async def test_opening_at_the_same_time_builds_the_schema_once(path: Path) -> None:
    opened = await asyncio.gather(*(KnowledgeBase.open(path) for _ in range(6)))
    for kb in opened:
        await kb.close()


async def test_a_write_on_an_outdated_reading_is_refused(path: Path, make_entry: EntryFactory) -> None:
    seen = {"grey-fever": digest(make_entry())}
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry(version=2)])
        with pytest.raises(ConflictError) as caught:
            await kb.write([make_entry(version=3)], expected=seen)
        assert caught.value.code == "kb.store.changed"
        entry = await kb.get("grey-fever")
        assert entry is not None
        assert entry.version == 2


async def test_a_damaged_file_is_named_and_can_be_set_aside(path: Path) -> None:
    _damage(path)
    with pytest.raises(StoreError) as caught:
        await KnowledgeBase.open(path)
    assert caught.value.code == "kb.store.damaged"

    aside = set_aside(path)
    assert aside is not None
    assert _content(aside).startswith(b"not a database")
    async with await KnowledgeBase.open(path) as kb:
        assert await kb.entries() == []


async def test_another_programs_database_is_not_touched(path: Path) -> None:
    before = _foreign(path)

    with pytest.raises(StoreError) as caught:
        await KnowledgeBase.open(path)

    assert caught.value.code == "kb.store.foreign"
    assert _content(path) == before


async def test_a_newer_schema_is_refused(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry()])
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    raw.close()
    with pytest.raises(StoreError) as caught:
        await KnowledgeBase.open(path)
    assert caught.value.code == "kb.store.newer"


async def test_a_later_migration_keeps_what_is_there(
    path: Path, make_entry: EntryFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry()])
    added = "ALTER TABLE entry ADD COLUMN seen TEXT;\nCREATE INDEX entry_seen ON entry (seen);\n"
    monkeypatch.setattr("disease_kb.connection.MIGRATIONS", (*MIGRATIONS, added))
    async with await KnowledgeBase.open(path) as kb:
        assert await kb.entries() == [make_entry()]
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    raw.close()


async def test_a_migration_that_fails_leaves_the_old_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await KnowledgeBase.open(path):
        pass
    failing = "CREATE TABLE half (a);\nCREATE TABLE half (a);\n"
    with monkeypatch.context() as patched:
        patched.setattr("disease_kb.connection.MIGRATIONS", (*MIGRATIONS, failing))
        with pytest.raises(sqlite3.OperationalError):
            await KnowledgeBase.open(path)
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    raw.close()
    async with await KnowledgeBase.open(path):
        pass


async def test_the_views_show_texts_and_citations_as_relations(path: Path, make_entry: EntryFactory) -> None:
    async with await KnowledgeBase.open(path) as kb:
        await kb.write([make_entry()])
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT zh FROM entry_text WHERE field = 'name'").fetchall() == [("灰热",)]
    assert raw.execute("SELECT count(*) FROM entry_text WHERE translation = 'unreviewed'").fetchone() == (7,)
    assert raw.execute("SELECT entry, key, year FROM entry_citation").fetchall() == [("grey-fever", "book", 2020)]
    raw.close()


async def test_every_commit_is_on_the_disk(path: Path) -> None:
    async with transaction(path) as connection:
        for name, value in (("journal_mode", "wal"), ("synchronous", 2)):
            rows = await connection.execute_fetchall(f"PRAGMA {name}")
            assert [row[0] for row in rows] == [value]
