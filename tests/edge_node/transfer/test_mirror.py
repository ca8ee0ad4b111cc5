"""A plain file server as the only source, beside a coordinator, and against us."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore
from edge_node.errors import AbsentError, RangelessError, SourceError, UnreachableError
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.transfer.mirror import Mirror, mirror_client
from edge_node.transfer.throttle import Throttle
from edge_node.transfer.traffic import Traffic
from protocols.artifacts import Artifact
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.commands import edge
from tests.edge_node.support.fileserver import files, write_tree
from tests.edge_node.support.node import no_sleep
from tests.edge_node.support.releases import Simulator, make_release
from tests.edge_node.support.server import CoordinatorServer, serving
from tests.edge_node.support.sources import SimulatedSource

DATA = os.urandom(300_000)
ARTIFACT = Artifact.of("trunk", DATA)


@asynccontextmanager
async def mirror(url: str, traffic: Traffic | None = None) -> AsyncIterator[Mirror]:
    async with mirror_client(1.0, 1.0) as client:
        yield Mirror(url, client, traffic or Traffic(), Throttle(0))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree" / "v1" / "artifacts" / ARTIFACT.sha256
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return tmp_path / "tree"


async def read(source: Mirror, start: int, stop: int | None = None) -> bytes:
    return b"".join([data async for data in source.read(ARTIFACT, start, stop)])


async def test_parts_come_by_range_and_only_they_are_asked_for(tree: Path) -> None:
    traffic = Traffic()
    with files(tree, ranges=True) as server:
        async with mirror(server.url + "/", traffic) as source:
            assert await read(source, 1000, 5000) == DATA[1000:5000]
            assert await read(source, 299_000) == DATA[299_000:]
            assert await read(source, 0) == DATA
    assert [asked for _, asked in server.asked] == ["bytes=1000-4999", "bytes=299000-299999", None]
    assert traffic.document()["mirror"] == server.sent == 305_000


async def test_a_server_without_ranges_gives_the_rest_at_the_price_of_the_whole_and_no_parts(tree: Path) -> None:
    with files(tree) as server:
        async with mirror(server.url) as source:
            assert await read(source, 200_000) == DATA[200_000:]
            with pytest.raises(RangelessError):
                await read(source, 0, 1000)


@pytest.mark.parametrize(("hops", "arrives"), [(3, True), (4, False)])
async def test_three_redirects_are_followed(tree: Path, hops: int, arrives: bool) -> None:
    with files(tree, redirects=hops) as server:
        async with mirror(server.url) as source:
            if arrives:
                assert await read(source, 0) == DATA
            else:
                with pytest.raises(UnreachableError):
                    await read(source, 0)


async def test_a_dead_mirror_costs_its_time_out_once() -> None:
    async with mirror("http://127.0.0.1:9") as source:
        for _ in range(2):
            with pytest.raises(UnreachableError):
                await read(source, 0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes the connection, and nobody answers
        async with mirror(f"http://127.0.0.1:{silent.getsockname()[1]}") as source:
            with pytest.raises(UnreachableError):
                await read(source, 0)
            async with asyncio.timeout(0.2):
                with pytest.raises(UnreachableError):
                    await read(source, 0)


async def test_what_a_mirror_has_not_is_absent_there(tree: Path) -> None:
    with files(tree) as server:
        async with mirror(server.url) as source:
            with pytest.raises(SourceError) as caught:
                await anext(source.read(Artifact.of("head", b"other"), 0))
            assert caught.value.code == "edge.artifact_missing"
            with pytest.raises(AbsentError):
                await anext(source.published("metadata/9.root.json"))


@pytest.mark.parametrize("breaks_after", [None, 150_000], ids=["lies", "lies and breaks off"])
async def test_a_lying_mirror_is_done_without(tree: Path, tmp_path: Path, breaks_after: int | None) -> None:
    honest = SimulatedSource({ARTIFACT.sha256: DATA}.get)
    async with CacheStore.open(tmp_path / "index.sqlite") as store:
        cache = ArtifactCache(tmp_path, store)
        with files(tree, lies=True, ranges=True, breaks_after=breaks_after) as server:
            async with mirror(server.url) as source:
                await ArtifactFetcher(cache, [source, honest], no_sleep).fetch(ARTIFACT)
    assert cache.path(ARTIFACT.sha256).read_bytes() == DATA
    assert server.sent <= len(DATA)


# --- whole commands -----------------------------------------------------------------------------------------------


def config(home: Path, server_url: str) -> None:
    assert edge(home, "config", "set", "mirrors", server_url).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [False, True], ids=["no ranges", "ranges"])
def test_a_node_is_served_by_a_plain_file_server_alone(
    authority: TestAuthority, tmp_path: Path, home: Path, ranges: bool
) -> None:
    simulator = Simulator([make_release(padding=os.urandom(600_000))])
    with serving(simulator, authority, tmp_path) as coordinator:
        assert edge(home, "join", coordinator.invite, "--name", "clinic").code == 0
    with files(write_tree(simulator, tmp_path / "tree"), ranges=ranges) as server:
        config(home, server.url)
        pulled = edge(home, "pull", "malaria").json
        assert pulled["active"] and pulled["bytes"]["coordinator"] == 0
        assert pulled["bytes"]["mirror"] >= 600_000
        simulator.publish(make_release(version=2))
        write_tree(simulator, tmp_path / "tree")
        assert edge(home, "pull", "malaria").json["release"] == "malaria@2"


@pytest.mark.slow
def test_a_lying_mirror_and_an_outdated_one_cost_nothing_but_bytes(
    coordinator: CoordinatorServer, joined: Path, simulator: Simulator, tmp_path: Path
) -> None:
    with files(write_tree(simulator, tmp_path / "tree"), lies=True) as server:
        config(joined, server.url)
        pulled = edge(joined, "pull", "malaria").json
        assert pulled["active"] and pulled["bytes"]["coordinator"] > 0
        simulator.publish(make_release(version=2))
        assert edge(joined, "pull", "malaria").json["release"] == "malaria@2"
