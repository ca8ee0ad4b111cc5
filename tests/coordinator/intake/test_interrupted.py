"""An import that is killed, or finds the disk full, leaves old or new, and goes on where it was."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from coordinator.bootstrap import Coordinator, open_coordinator
from coordinator.errors import CoordinatorError
from coordinator.intake import archive, datasets, journal
from coordinator.store import blobs
from disease_kb.seeding import open_or_build
from tests.conftest import ROOT
from tests.support.commands import BIN, call, environment, run
from tests.support.intake import add, files, opened, rows
from tests.support.killed_import import POINTS, REMOVALS
from tests.support.pictures import noise, write_set


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


def killed(home: Path, source: Path, point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_import", str(home), str(source), point],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, (point, done.stderr)


async def assert_whole(coordinator: Coordinator, images: int) -> None:
    """Rows and files fit each other, and nothing of an import lies about."""
    found = await rows(coordinator)
    assert len(found["samples"]) == len(found["sample_facts"]) == images
    assert files(coordinator)["images"] == {row[2] for row in found["samples"]}
    assert not list(coordinator.home.base.glob("import-*"))


@pytest.mark.parametrize("point", POINTS)
async def test_killed_import_leaves_old_or_new_and_goes_on(
    coordinator: Coordinator, tmp_path: Path, point: str
) -> None:
    await add(coordinator, write_set(tmp_path / "old", 4, first_seed=50))
    source = zipped(write_set(tmp_path / "set", 8))
    killed(coordinator.home.root, source, point)
    before = await rows(coordinator)
    assert len(before["samples"]) == (24 if point in ("stored", "swept") else 8), "all of it or nothing"
    report = await add(coordinator, source)
    assert report["accepted"] == 16
    # What had been moved out of the import's own folder is looked at again.
    assert report["checked_before"] == {"unpacking": 0, "checking": 7, "moving": 12}.get(point, 0)
    await assert_whole(coordinator, 24)


async def test_what_an_abandoned_import_moved_in_goes_with_the_next(coordinator: Coordinator, tmp_path: Path) -> None:
    killed(coordinator.home.root, write_set(tmp_path / "set", 8), "moved")
    assert len(files(coordinator)["images"]) == 16 and not (await rows(coordinator))["samples"]
    (left,) = coordinator.home.base.glob("import-*")
    os.utime(left, (0, 0))  # a day and more ago
    await add(coordinator, write_set(tmp_path / "other", 4, first_seed=50))
    await assert_whole(coordinator, 8)


@pytest.mark.parametrize("point", REMOVALS)
async def test_killed_removal_is_finished_by_the_next(coordinator: Coordinator, tmp_path: Path, point: str) -> None:
    await add(coordinator, write_set(tmp_path / "set", 6))
    killed(coordinator.home.root, tmp_path / "set", point)
    with pytest.raises(CoordinatorError) as caught:  # as a person who saw no answer would
        await opened(coordinator).remove("malaria", None)
    assert caught.value.code == "dataset.unknown"
    await assert_whole(coordinator, 0)


def test_a_killed_command_goes_on_where_it_was(coordinator: Coordinator, tmp_path: Path) -> None:
    home, folder = coordinator.home.root, write_set(tmp_path / "set", 4)
    for number in range(40):
        noise(number, 300).save(folder / ("parasitized" if number % 2 else "uninfected") / f"large{number}.png")
    (folder / "groups.csv").unlink()
    command = [str(BIN / "medmesh-coordinator"), "dataset", "import", str(folder), "--disease", "malaria"]
    process = subprocess.Popen(
        [*command, "--home", str(home), "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )

    def noted() -> int:
        return sum(p.read_bytes().count(b"\n") for p in home.glob("coordinator/import-*/checked.jsonl"))

    deadline = time.monotonic() + 60
    while noted() < 10 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.kill()  # the parent alone: its workers must end by themselves
    process.wait()
    at_least, started = noted(), time.monotonic()
    while _alive(process.pid) and time.monotonic() - started < 20:
        time.sleep(0.05)
    assert not _alive(process.pid), "no worker outlives the import"
    report = run("medmesh-coordinator", "dataset", "import", str(folder), "--disease", "malaria", home=home)
    assert report["accepted"] == 48 and 10 <= at_least <= report["checked_before"] < 48
    assert not list(home.glob("coordinator/import-*"))


def _alive(session: int) -> bool:
    """Whether a process of this session still runs."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = status.read_text().rsplit(")", 1)[1].split()[:4]
        except (OSError, ValueError):
            continue
        if int(number) == session and state != "Z":
            return True
    return False


async def test_a_torn_journal_and_a_damaged_copy_are_checked_again(coordinator: Coordinator, tmp_path: Path) -> None:
    source = write_set(tmp_path / "set", 8)
    killed(coordinator.home.root, source, "checking")
    (spool,) = coordinator.home.base.glob("import-*")
    noted = spool / "checked.jsonl"
    lines = noted.read_bytes().splitlines()
    noted.write_bytes(b"\n".join(lines)[:-20])
    first = json.loads(lines[0])["sha256"]
    (spool / "kept" / first[:2] / first).write_bytes(b"torn")
    report = await add(coordinator, source)
    assert report["checked_before"] == 5
    await assert_whole(coordinator, 16)
    kept = (coordinator.home.images / first[:2] / first).read_bytes()
    assert kept.startswith(b"\x89PNG"), "the torn copy was made again"


def _full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (archive, "_copy"),
        (blobs, "write_atomically"),
        (journal.Journal, "add"),
        (datasets, "move"),
        (datasets, "fsync_folders"),
    ],
)
async def test_full_disk_at_each_write_leaves_the_old_state(
    coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    await add(coordinator, write_set(tmp_path / "old", 4, first_seed=50))
    source = zipped(write_set(tmp_path / "set", 6))
    before = await rows(coordinator)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, _full)
        with pytest.raises(OSError, match="No space"):
            await add(coordinator, source)
    assert await rows(coordinator) == before
    assert (await add(coordinator, source))["accepted"] == 12, "it recovers when there is room"
    await assert_whole(coordinator, 20)


async def test_full_database_is_told(coordinator: Coordinator) -> None:
    with pytest.raises(CoordinatorError) as caught:
        async with coordinator.database.begin() as connection:
            await connection.execute(text("PRAGMA max_page_count = 1"))
            for number in range(200):
                values = {"name": f"d{number}", "disease": "x" * 4000, "created": "", "reports": "[]"}
                insert = "INSERT INTO datasets (name, disease, created, reports) VALUES (:name, :disease, :created, :reports)"
                await connection.execute(text(insert), values)
    assert caught.value.code == "storage.full"


@pytest.fixture
def small_disk(coordinator: Coordinator, tmp_path: Path) -> Iterator[Path]:
    """A copy of the coordinator's home on a disk with little room left."""
    home = tmp_path / "disk"
    home.mkdir()
    used = sum(p.stat().st_size for p in coordinator.home.root.rglob("*") if p.is_file())
    size = f"size={used + 3_000_000}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(home)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        shutil.copytree(coordinator.home.root, home, dirs_exist_ok=True)
        yield home
    finally:
        subprocess.run(["umount", str(home)], check=True)


async def test_full_disk_for_real(small_disk: Path, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 6)
    for number in range(40):
        noise(number, 200).save(folder / "uninfected" / f"large{number}.png")
    (folder / "groups.csv").unlink()
    async with await open_or_build(small_disk):
        pass
    command = ("medmesh-coordinator", "dataset", "import", str(folder), "--disease", "malaria")
    answer = await asyncio.to_thread(call, *command, home=small_disk)
    assert (answer.code, answer.error["code"]) == (6, "storage.full"), answer.stderr
    async with open_coordinator(small_disk) as full:
        assert await opened(full).all() == []
        assert not any(files(full).values()) and not list(full.home.base.glob("import-*"))
