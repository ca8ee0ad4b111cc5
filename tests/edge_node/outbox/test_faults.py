"""A full disk and a damaged file: a clear sentence, nothing lost, and on it goes when there is room."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_node.errors import EdgeError
from edge_node.outbox.ballast import SIZE_BYTES
from edge_node.outbox.schema import MIGRATIONS
from edge_node.outbox.unlock import KEY_FILE
from tests.edge_node.support.outbox import Bench, Coordinator
from tests.edge_node.support.results import result


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs more rights than this user has")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def fill(bench: Bench) -> list[str]:
    """Save until the disk is full; the ids that were told to be saved."""
    saved: list[str] = []
    for number in itertools.count():
        try:
            saved += await bench.save(*(result(number * 10 + k) for k in range(10)))
        except EdgeError as error:
            assert (error.code, error.kind.exit_code) == ("storage.full", 6)
            return saved
    raise AssertionError


async def confirm_until_full(bench: Bench, result_id: str) -> int:
    """How many words went in where room for a whole result was gone."""
    for number in range(1000):
        try:
            await bench.confirm(result_id)
        except EdgeError as error:
            assert error.code == "storage.full"
            return number
    raise AssertionError


async def kept(bench: Bench) -> list[str]:
    async with bench.outbox.history() as history:
        listed = await history.search(None, None, 1_000_000)
    assert not listed.unreadable
    return [item.id for item in listed.results][::-1]


async def test_on_a_full_disk_what_was_saved_stays_and_saving_goes_on_when_there_is_room(small_disk: Path) -> None:
    bench, coordinator = Bench(small_disk / "outbox"), Coordinator()
    bench.options |= {"new_key_in": (KEY_FILE,), "most_waiting": 1_000_000}
    stone = small_disk / "stone"
    stone.write_bytes(b"x" * 600_000)
    saved = await fill(bench)
    assert len(saved) > 100
    assert await kept(bench) == saved
    words = await confirm_until_full(bench, saved[0])
    delivery = await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    assert delivery.failure is None or (delivery.failure.code, delivery.counts.queued > 0) == ("storage.full", True)
    assert delivery.counts.queued + delivery.counts.acknowledged == len(saved) + words
    stone.unlink()
    saved += await bench.save(result(1))
    await bench.confirm(saved[0])
    delivery = await bench.outbox.deliver(coordinator.connect, retry_refused=False)
    assert (delivery.failure, delivery.counts.queued, len(coordinator.stored)) == (None, 0, len(saved) + words + 1)
    assert await kept(bench) == saved


async def test_on_a_full_disk_forgetting_makes_room(small_disk: Path) -> None:
    bench = Bench(small_disk / "outbox")
    bench.options |= {"new_key_in": (KEY_FILE,), "most_waiting": 1_000_000}
    saved = await fill(bench)
    assert bench.path.with_suffix(".ballast").stat().st_size == SIZE_BYTES
    async with bench.outbox.history() as history:
        await history.forget(saved[:-3])
    assert await kept(bench) == saved[-3:]
    await bench.save(*(result(number) for number in range(100)))
    assert bench.path.with_suffix(".ballast").exists()


async def test_a_disk_without_room_for_the_key_saves_nothing_and_says_so(small_disk: Path) -> None:
    bench = Bench(small_disk / "outbox")
    bench.options["new_key_in"] = (KEY_FILE,)
    stone = small_disk / "stone"
    with pytest.raises(OSError, match="space"), stone.open("wb") as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(EdgeError) as caught:
        await bench.save(result(1))
    assert caught.value.code == "storage.full"
    stone.unlink()
    assert len(await bench.save(result(1))) == 1


async def test_a_full_disk_within_a_transaction_leaves_all_or_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a small disk: SQLite itself is told how many pages there may be."""
    from edge_node.sqlite import SqliteFile

    ids = await bench.save(*(result(number) for number in range(20)))
    original = SqliteFile.run_many

    async def cramped(self: SqliteFile, *arguments: object) -> None:
        pages = (await self.rows("PRAGMA page_count"))[0][0]
        await self.rows(f"PRAGMA max_page_count = {pages + 5}")
        await original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteFile, "run_many", cramped)
    with pytest.raises(EdgeError) as caught:
        await bench.save(*(result(number) for number in range(200)))
    assert caught.value.code == "storage.full"
    monkeypatch.undo()
    assert await kept(bench) == ids


@pytest.mark.parametrize("content", [b"not a database" * 500, b"\x00" * 8192])
async def test_a_file_that_is_none_of_ours_is_left_alone(bench: Bench, content: bytes) -> None:
    bench.path.parent.mkdir()
    bench.path.write_bytes(content)
    for attempt in (bench.save(result(1)), bench.confirm("abcd"), bench.outbox.counts()):
        with pytest.raises(EdgeError) as caught:
            await attempt
        assert (caught.value.code, caught.value.kind.exit_code) == ("outbox.damaged", 3)
        assert "Recognition works" in caught.value.remedy()
    assert bench.path.read_bytes() == content


async def test_damaged_pages_are_a_sentence(bench: Bench) -> None:
    await bench.save(*(result(number) for number in range(200)))
    data = bytearray(bench.path.read_bytes())
    for page in range(3, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    bench.path.write_bytes(data)
    with pytest.raises(EdgeError) as caught:
        await kept(bench)
    assert caught.value.code == "outbox.damaged"


async def test_a_history_of_a_later_version_is_left_alone(bench: Bench) -> None:
    await bench.save(result(1))
    with closing(sqlite3.connect(bench.path)) as file:
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(EdgeError) as caught:
        await bench.outbox.counts()
    assert caught.value.code == "outbox.newer"


async def test_another_programs_database_is_not_taken_for_ours(bench: Bench) -> None:
    bench.path.parent.mkdir()
    with closing(sqlite3.connect(bench.path)) as file, file:
        file.execute("CREATE TABLE patients (name TEXT)")
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    with pytest.raises(EdgeError) as caught:
        await bench.save(result(1))
    assert caught.value.code == "outbox.damaged"


async def test_a_program_that_holds_the_file_too_long_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.save(result(1))
    monkeypatch.setattr("edge_node.sqlite._BUSY_TIMEOUT_MS", 50)
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert len(await kept(bench)) == 1  # reading waits for nobody
        with pytest.raises(EdgeError) as caught:
            await bench.save(result(2))
        other.execute("ROLLBACK")
    assert caught.value.code == "outbox.busy"
    assert len(await bench.save(result(2))) == 1
