from __future__ import annotations

import asyncio
import os
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from edge_node.peers import hub as hub_module
from edge_node.peers import link as link_module
from edge_node.peers.hub import MOST_ADDRESSES
from edge_node.transfer.throttle import Throttle
from protocols.chunks import CHUNK_BYTES
from protocols.peering import Get, Greeting, Have, Lack, Want, decode, decode_chunk, encode
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.mesh import TestNode, Wan, contexts, introduce, linked, node, until
from tests.edge_node.support.releases import chunked

DATA = os.urandom(3 * CHUNK_BYTES)
TRUNK, FILES = chunked("trunk", DATA)


@pytest.fixture
def authority() -> TestAuthority:
    return TestAuthority()


@pytest.fixture
async def serving(tmp_path: Path, authority: TestAuthority) -> AsyncIterator[TestNode]:
    async with node(authority, tmp_path / "serving", Wan(FILES, Throttle(0))) as one:
        await one.fetcher.fetch(TRUNK)
        yield one


@asynccontextmanager
async def dialled(one: TestNode, authority: TestAuthority, folder: Path) -> AsyncIterator[ClientConnection]:
    """A connection with an enrolled node's certificate, not greeted yet."""
    context = contexts(authority, folder, folder.name).client
    url = f"wss://127.0.0.1:{one.hub.port}/"
    async with connect(url, ssl=context, max_size=2**20, proxy=None, close_timeout=1) as connection:
        yield connection


async def closed_with(connection: ClientConnection) -> int | None:
    """Read until the other side ends the connection; returns its code."""
    try:
        async with asyncio.timeout(10):
            while True:
                await connection.recv()
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else None


async def test_a_chunk_is_served_and_one_that_is_not_there_is_lacked(
    serving: TestNode, authority: TestAuthority, tmp_path: Path
) -> None:
    async with dialled(serving, authority, tmp_path / "peer") as line:
        await line.send(encode(Greeting("f" * 16)))
        assert isinstance(decode(str(await line.recv())), Greeting)
        await line.send(encode(Want(TRUNK.sha256)))
        assert decode(str(await line.recv())) == Have(TRUNK.sha256, -1)
        await line.send(encode(Get(TRUNK.sha256, 1)))
        frame = await line.recv()
        assert isinstance(frame, bytes)
        assert decode_chunk(frame) == (TRUNK.sha256, 1, DATA[CHUNK_BYTES : 2 * CHUNK_BYTES])
        for absent in (Get("0" * 64, 0), Get(TRUNK.sha256, 99)):
            await line.send(encode(absent))
            assert decode(str(await line.recv())) == Lack(absent.artifact, absent.chunk)


async def test_a_file_that_was_altered_on_the_disk_is_not_served(
    serving: TestNode, authority: TestAuthority, tmp_path: Path
) -> None:
    serving.cache.path(TRUNK.sha256).write_bytes(b"x" * len(DATA))
    async with dialled(serving, authority, tmp_path / "peer") as line:
        await line.send(encode(Greeting("f" * 16)))
        await line.recv()
        await line.send(encode(Get(TRUNK.sha256, 0)))
        assert decode(str(await line.recv())) == Lack(TRUNK.sha256, 0)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["{}"], 1008),
        ([b"\0" * 40], 1008),
        ([encode(Greeting("f" * 16)), "nonsense"], 1007),
        ([encode(Greeting("f" * 16)), encode(Greeting("e" * 16))], 1007),
        ([encode(Greeting("f" * 16)), b"\0"], 1007),
        ([encode(Greeting("f" * 16)), b"\0" * 400_000], 1009),
        ([encode(Greeting("f" * 16)), *[encode(Want(f"{n:064x}")) for n in range(80)]], 1007),
    ],
    ids=["no greeting", "binary greeting", "nonsense", "second greeting", "short chunk", "oversize", "wants"],
)
async def test_what_is_not_understood_ends_the_link_with_a_code(
    serving: TestNode, authority: TestAuthority, tmp_path: Path, frames: list[str | bytes], code: int
) -> None:
    async with dialled(serving, authority, tmp_path / "peer") as line:
        for frame in frames:
            await line.send(frame)
        assert await closed_with(line) == code
    await until(lambda: not serving.hub.peers)


async def test_a_greeting_of_a_later_version_ends_the_link(
    serving: TestNode, authority: TestAuthority, tmp_path: Path
) -> None:
    async with dialled(serving, authority, tmp_path / "peer") as line:
        await line.send(encode(Greeting("f" * 16, wire=2)))
        assert await closed_with(line) == 1008
    assert not serving.hub.peers


async def test_compression_is_not_agreed_to_and_a_compressed_frame_is_an_error(
    serving: TestNode, authority: TestAuthority, tmp_path: Path
) -> None:
    async with dialled(serving, authority, tmp_path / "peer") as line:
        assert line.protocol.extensions == []
        line.transport.write(bytes([0xC1, 0x84, 0, 0, 0, 0]) + b"bomb")  # FIN, RSV1, text; masked
        assert await closed_with(line) == 1002


async def test_half_open_peers_are_let_go_and_hold_up_nobody(
    serving: TestNode, authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "GREETING_S", 0.3)
    async with AsyncExitStack() as stack:
        silent = [
            await stack.enter_async_context(dialled(serving, authority, tmp_path / f"silent{n}")) for n in range(8)
        ]
        line = await stack.enter_async_context(dialled(serving, authority, tmp_path / "peer"))
        await line.send(encode(Greeting("f" * 16)))
        assert isinstance(decode(str(await line.recv())), Greeting)
        await asyncio.gather(*(closed_with(one) for one in silent))
        assert serving.hub.peers == ["f" * 16]


async def test_a_peer_that_asks_and_does_not_read_costs_no_memory(
    serving: TestNode, authority: TestAuthority, tmp_path: Path
) -> None:
    async with dialled(serving, authority, tmp_path / "peer") as line:
        await line.send(encode(Greeting("f" * 16)))
        line.transport.pause_reading()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(500):
            await line.send(encode(Get(TRUNK.sha256, 0)))
        await until(lambda: not serving.hub.peers)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kB


async def test_a_certificate_of_another_authority_is_refused(serving: TestNode, tmp_path: Path) -> None:
    with pytest.raises((ssl.SSLError, ConnectionClosed, OSError)):
        async with dialled(serving, TestAuthority(), tmp_path / "stranger") as line:
            await line.recv()


def put_out(one: TestNode, names: set[str]) -> None:
    """``one`` verified a list that puts these nodes out."""

    async def revoked() -> set[str]:
        return names

    one.hub._contexts.revoked = revoked


async def test_a_node_that_was_put_out_is_turned_away(
    serving: TestNode, authority: TestAuthority, tmp_path: Path
) -> None:
    put_out(serving, {"peer"})
    async with dialled(serving, authority, tmp_path / "peer") as line:
        assert await closed_with(line) == 1008


async def test_a_link_ends_when_its_node_is_put_out_and_the_others_stay(
    tmp_path: Path, authority: TestAuthority, serving: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_LOOK_S", 0.05)
    wan = Wan(FILES, Throttle(0))
    async with node(authority, tmp_path / "bad", wan) as bad, node(authority, tmp_path / "good", wan) as good:
        introduce([good, bad])
        await linked([good, bad], 1)
        put_out(good, {"bad"})
        introduce([serving, good])
        await until(lambda: good.hub.peers == [serving.hub.instance])
        await until(lambda: bad.hub.peers == [])
        await asyncio.sleep(0.2)
        assert good.hub.peers == [serving.hub.instance], "it did not come back, and nobody else was cut"


async def test_an_ended_certificate_does_among_peers(tmp_path: Path, authority: TestAuthority) -> None:
    wan = Wan(FILES, Throttle(0))
    ended = TestAuthority.sign_request
    authority.sign_request = lambda csr, days=400, node="node": ended(authority, csr, days=-0.5, node=node)  # type: ignore[method-assign]
    async with node(authority, tmp_path / "a", wan) as first, node(authority, tmp_path / "b", wan) as second:
        introduce([first, second])
        await until(lambda: bool(first.hub.peers and second.hub.peers))


async def test_three_thousand_hints_are_cut_and_a_good_one_still_gets_through(
    serving: TestNode, tmp_path: Path, authority: TestAuthority
) -> None:
    async with node(authority, tmp_path / "seeking", Wan(FILES, Throttle(0))) as seeking:
        for number in range(3000):
            seeking.hub.hint("127.0.0.1", 1 + number)
        assert len(seeking.hub._candidates) <= MOST_ADDRESSES
        assert serving.hub.port is not None
        async with asyncio.timeout(20):
            while not seeking.hub.peers:
                seeking.hub.hint("127.0.0.1", serving.hub.port)
                await asyncio.sleep(0.1)
