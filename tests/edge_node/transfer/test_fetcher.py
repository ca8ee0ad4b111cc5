from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import BinaryIO

import pytest

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore
from edge_node.errors import DamagedBytesError, SourceError, UnreachableError
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.transfer.partial import PartialFile
from protocols.artifacts import Artifact
from tests.edge_node.support.node import no_sleep
from tests.edge_node.support.releases import chunked
from tests.edge_node.support.sources import EndlessSource, SimulatedSource

DATA = os.urandom(25_500)
ARTIFACT = Artifact.of("trunk", DATA)


def good() -> SimulatedSource:
    return SimulatedSource({ARTIFACT.sha256: DATA}.get)


def lying(data: bytes) -> SimulatedSource:
    return SimulatedSource(lambda _: data)


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[ArtifactCache]:
    async with CacheStore.open(tmp_path / "index.sqlite") as store:
        yield ArtifactCache(tmp_path, store)


def partial_path(tmp_path: Path) -> Path:
    path = tmp_path / "partial" / ARTIFACT.sha256
    path.parent.mkdir(exist_ok=True)
    return path


async def test_fetch_puts_the_verified_file_on_the_shelf_and_fetches_it_once(cache: ArtifactCache) -> None:
    source = good()
    fetcher = ArtifactFetcher(cache, [source], no_sleep)
    assert await fetcher.fetch(ARTIFACT)
    assert cache.path(ARTIFACT.sha256).read_bytes() == DATA
    assert not await fetcher.fetch(ARTIFACT)
    assert source.sent == len(DATA)


async def test_fetch_continues_what_a_killed_process_left(cache: ArtifactCache, tmp_path: Path) -> None:
    partial_path(tmp_path).write_bytes(DATA[:20_000])
    source = good()
    await ArtifactFetcher(cache, [source], no_sleep).fetch(ARTIFACT)
    assert (source.starts, source.sent) == ([20_000], 5_500)
    assert cache.path(ARTIFACT.sha256).read_bytes() == DATA


async def test_fetch_finishes_a_partial_file_that_is_complete_without_asking(
    cache: ArtifactCache, tmp_path: Path
) -> None:
    partial_path(tmp_path).write_bytes(DATA)
    source = good()
    await ArtifactFetcher(cache, [source], no_sleep).fetch(ARTIFACT)
    assert source.starts == []


@pytest.mark.parametrize("left", [b"x" * 20_000, b"x" * 30_000], ids=["wrong", "too long"])
async def test_fetch_starts_again_after_a_spoilt_partial_file(
    cache: ArtifactCache, tmp_path: Path, left: bytes
) -> None:
    partial_path(tmp_path).write_bytes(left)
    await ArtifactFetcher(cache, [good()], no_sleep).fetch(ARTIFACT)
    assert cache.path(ARTIFACT.sha256).read_bytes() == DATA


async def test_fetch_continues_across_a_line_that_keeps_breaking(cache: ArtifactCache) -> None:
    source = good()
    source.breaks_after = 7_000
    await ArtifactFetcher(cache, [source], no_sleep).fetch(ARTIFACT)
    assert source.starts == [0, 7_000, 14_000, 21_000]
    assert source.sent == len(DATA)


async def test_fetch_puts_a_source_out_after_the_second_wrong_delivery(cache: ArtifactCache) -> None:
    liar, honest = lying(b"x" * len(DATA)), good()
    await ArtifactFetcher(cache, [liar, honest], no_sleep).fetch(ARTIFACT)
    assert cache.path(ARTIFACT.sha256).read_bytes() == DATA
    assert len(liar.starts) == 1
    alone = lying(b"x" * len(DATA))
    other = Artifact.of("head", b"something else")
    with pytest.raises(DamagedBytesError) as caught:
        await ArtifactFetcher(cache, [alone], no_sleep).fetch(other)
    assert (caught.value.code, len(alone.starts)) == ("artifact.mismatch", 2)
    assert not cache.path(other.sha256).exists()


async def test_fetch_of_damaged_bytes_leaves_no_file(cache: ArtifactCache) -> None:
    damaged = DATA[:100] + bytes([DATA[100] ^ 1]) + DATA[101:]
    with pytest.raises(DamagedBytesError):
        await ArtifactFetcher(cache, [lying(damaged)], no_sleep).fetch(ARTIFACT)
    assert not cache.path(ARTIFACT.sha256).exists()


async def test_fetch_stops_an_endless_source_at_the_declared_size(cache: ArtifactCache) -> None:
    endless = EndlessSource()
    with pytest.raises(DamagedBytesError):
        await ArtifactFetcher(cache, [endless], no_sleep).fetch(ARTIFACT)
    assert endless.sent <= 2 * (len(DATA) + 1_000)


async def test_fetch_from_a_source_that_sends_too_little_keeps_what_came(cache: ArtifactCache, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        await ArtifactFetcher(cache, [lying(DATA[:9_000])], no_sleep).fetch(ARTIFACT)
    assert caught.value.code == "edge.broken_off"
    assert partial_path(tmp_path).stat().st_size == 9_000


async def test_fetch_asks_the_next_source_where_one_lacks_the_artifact(cache: ArtifactCache) -> None:
    await ArtifactFetcher(cache, [SimulatedSource(lambda _: None), good()], no_sleep).fetch(ARTIFACT)
    assert cache.path(ARTIFACT.sha256).read_bytes() == DATA


async def test_fetch_without_any_holder_says_so(cache: ArtifactCache) -> None:
    with pytest.raises(SourceError) as caught:
        await ArtifactFetcher(cache, [SimulatedSource(lambda _: None)], no_sleep).fetch(ARTIFACT)
    assert caught.value.code == "edge.artifact_missing"


class Coming:
    """Does not answer at first."""

    def __init__(self, silent: int) -> None:
        self.silent = silent
        self.slept: list[float] = []
        self._source = good()

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        self.silent -= 1
        if self.silent >= 0:
            raise UnreachableError("edge.coordinator_unreachable", url="memory")
        async for data in self._source.read(artifact, start, stop):
            yield data

    async def sleep(self, pause_s: float) -> None:
        self.slept.append(pause_s)


async def test_fetch_waits_for_a_line_that_is_down_ten_seconds_and_no_longer(cache: ArtifactCache) -> None:
    line = Coming(silent=3)
    await ArtifactFetcher(cache, [line], line.sleep).fetch(ARTIFACT)
    assert line.slept == [0.5, 1.0, 2.0]
    gone = Coming(silent=99)
    with pytest.raises(UnreachableError):
        await ArtifactFetcher(cache, [gone], gone.sleep).fetch(Artifact.of("head", b"something else"))
    assert sum(gone.slept) == 10.0
    big, _ = chunked("trunk", os.urandom(300_000))
    gone.slept.clear()
    with pytest.raises(UnreachableError):
        await ArtifactFetcher(cache, [gone], gone.sleep).fetch(big)
    assert sum(gone.slept) == 10.0, "not once more after the chunk list"


async def test_progress_adds_up_to_the_size(cache: ArtifactCache) -> None:
    counts: list[int] = []
    await ArtifactFetcher(cache, [lying(b"x" * len(DATA)), good()], no_sleep).fetch(ARTIFACT, counts.append)
    assert sum(counts) == len(DATA)


class Full:
    """A file on a disk without room."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


async def test_a_full_disk_is_told_with_its_file_and_keeps_what_was_there(
    cache: ArtifactCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial_path(tmp_path).write_bytes(DATA[:20_000])
    opened = PartialFile.__init__

    def on_a_full_disk(self: PartialFile, path: Path, artifact: Artifact) -> None:
        opened(self, path, artifact)
        self._file = Full(self._file)  # type: ignore[assignment,arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "__init__", on_a_full_disk)
        with pytest.raises(OSError) as caught:
            await ArtifactFetcher(cache, [good()], no_sleep).fetch(ARTIFACT)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(partial_path(tmp_path)))
    source = good()
    await ArtifactFetcher(cache, [source], no_sleep).fetch(ARTIFACT)
    assert source.starts == [20_000]


async def test_what_cannot_be_had_leaves_no_empty_file(cache: ArtifactCache, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        await ArtifactFetcher(cache, [SimulatedSource(lambda _: None)], no_sleep).fetch(ARTIFACT)
    assert not partial_path(tmp_path).exists()
