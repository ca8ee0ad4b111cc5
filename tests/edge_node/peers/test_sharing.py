from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from edge_node.peers.hub import Hub
from edge_node.transfer.throttle import Throttle
from protocols.chunks import CHUNK_BYTES
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.mesh import (
    Boasting,
    Corrupting,
    Endless,
    Lacking,
    Short,
    Silent,
    Wan,
    introduce,
    linked,
    mesh,
    node,
)
from tests.edge_node.support.releases import chunked

DATA = os.urandom(40 * CHUNK_BYTES + 1234)
TRUNK, FILES = chunked("trunk", DATA)
HEAD, HEAD_FILES = chunked("head", os.urandom(30_000))


@pytest.fixture
def authority() -> TestAuthority:
    return TestAuthority()


def wan(kbps: float = 20_000) -> Wan:
    return Wan({**FILES, **HEAD_FILES}, Throttle(kbps))


async def test_eight_nodes_that_start_together_take_one_copy_over_the_wan(
    tmp_path: Path, authority: TestAuthority
) -> None:
    line = wan()
    async with mesh(authority, tmp_path, line, 8) as nodes:
        for artifact in (TRUNK, HEAD):
            assert all(await asyncio.gather(*(one.fetcher.fetch(artifact) for one in nodes)))
        assert all(one.cache.path(TRUNK.sha256).read_bytes() == DATA for one in nodes)
    total = TRUNK.size_bytes + HEAD.size_bytes
    assert line.sent <= 1.05 * total, line.sent / total


async def test_a_later_node_takes_nothing_over_the_wan_but_the_chunk_list(
    tmp_path: Path, authority: TestAuthority
) -> None:
    line = wan()
    async with node(authority, tmp_path / "a", line) as first, node(authority, tmp_path / "b", line) as second:
        await first.fetcher.fetch(TRUNK)
        line.sent = 0
        introduce([first, second])
        await linked([first, second], 1)
        await second.fetcher.fetch(TRUNK)
        assert second.cache.path(TRUNK.sha256).read_bytes() == DATA
        assert sum(second.received) >= len(DATA)
    assert line.sent < 2_000


async def test_with_a_corrupting_and_a_silent_peer_all_complete(tmp_path: Path, authority: TestAuthority) -> None:
    """What the bad ones fetch over the WAN counts too, and is of no use to anybody else."""
    data = os.urandom(80 * CHUNK_BYTES)
    trunk, files = chunked("trunk", data)
    line = Wan(files, Throttle(20_000))
    async with mesh(authority, tmp_path, line, 8, [Corrupting, Silent]) as nodes:
        await asyncio.gather(*(one.fetcher.fetch(trunk) for one in nodes))
        assert all(one.cache.path(trunk.sha256).read_bytes() == data for one in nodes)
    assert line.sent <= 1.3 * len(data), line.sent / len(data)


SMALL = os.urandom(12 * CHUNK_BYTES)
SMALL_TRUNK, SMALL_FILES = chunked("trunk", SMALL)


@pytest.mark.parametrize("kind", [Corrupting, Short, Endless, Silent, Lacking, Boasting])
async def test_a_bad_peer_alone_costs_a_node_less_than_ten_seconds(
    tmp_path: Path, authority: TestAuthority, kind: type[Hub]
) -> None:
    """And no byte comes over the WAN twice."""
    line = Wan(SMALL_FILES, Throttle(20_000))
    async with mesh(authority, tmp_path, line, 2, [kind]) as (bad, good):
        if kind is not Boasting:
            await bad.fetcher.fetch(SMALL_TRUNK)
            line.sent = 0
        start = time.monotonic()
        await good.fetcher.fetch(SMALL_TRUNK)
        seconds = time.monotonic() - start
        assert good.cache.path(SMALL_TRUNK.sha256).read_bytes() == SMALL
    assert line.sent <= len(SMALL) + 2_000
    assert seconds <= len(SMALL) * 8 / 1000 / line.throttle.kbps + 10


async def test_a_node_whose_own_line_is_dead_gets_all_from_the_others_and_does_not_hold_them_up(
    tmp_path: Path, authority: TestAuthority
) -> None:
    """It may not sit on the chunks that would be its own: those that fail at once are not claimed."""
    line, dead = wan(), wan()
    dead.is_down = True
    async with node(authority, tmp_path / "a", line) as good, node(authority, tmp_path / "b", dead) as cut_off:
        introduce([good, cut_off])
        await linked([good, cut_off], 1)
        start = time.monotonic()
        await asyncio.gather(good.fetcher.fetch(TRUNK), cut_off.fetcher.fetch(TRUNK))
        seconds = time.monotonic() - start
        assert cut_off.cache.path(TRUNK.sha256).read_bytes() == DATA
    assert line.sent < 1.01 * len(DATA)
    assert seconds < len(DATA) * 8 / 1000 / line.throttle.kbps + 6
