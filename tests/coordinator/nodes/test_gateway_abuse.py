"""The gateway under abuse: each ends with a code, memory stays flat, and the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from coordinator.nodes.authority import SERVER_NAME
from coordinator.nodes.connections import A_NODE
from protocols.messages import CatalogueNotice, Hello, encode
from protocols.results import batch
from tests.coordinator.nodes.gateways import Running, closed, running

MB = 1024 * 1024


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MB


@asynccontextmanager
async def flat(growth_mb: float) -> AsyncIterator[None]:
    """Memory grows by less than this while the block runs, the clients' own share included."""
    gc.collect()
    before, most = resident_mb(), 0.0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, resident_mb())
            await asyncio.sleep(0.05)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
    assert most - before < growth_mb, f"{before:.0f} MB to {most:.0f} MB"


@asynccontextmanager
async def another_is_served(gateway: Running) -> AsyncIterator[None]:
    """``n2`` hears a notice and gets an answer to its ping after all this."""
    async with gateway.node("n2") as other:
        yield
        gateway.publish()
        async with asyncio.timeout(10):
            assert isinstance(await other.recv(), str)
            await (await other.ping())


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, "n1", "n2") as found:
        yield found


async def test_frames_that_are_too_big_end_the_connection_before_they_are_here(two: Running) -> None:
    async with another_is_served(two), flat(40):
        for _ in range(5):
            async with two.node() as node:
                header = bytes([0x82, 0xFF]) + (4 * 1024 * MB).to_bytes(8, "big") + b"mask"
                node.transport.write(header + b"\0" * MB)  # four gigabytes are announced
                assert (await closed(node))[0] == 1009
            async with two.node() as node:
                with contextlib.suppress(ConnectionClosed):
                    await node.send([b"x" * 65536] * 1000)  # one message in frames that are each allowed
                assert (await closed(node))[0] == 1009


async def test_compression_is_not_agreed_to_and_a_compressed_frame_is_an_error(two: Running) -> None:
    offer = [ClientPerMessageDeflateFactory(compress_settings={"memLevel": 9})]
    async with another_is_served(two), flat(30), two.node(extensions=offer) as node:
        assert node.protocol.extensions == []
        flags_and_size = bytes([0xC1, 0x80 | 126]) + (9_000).to_bytes(2, "big")  # final, compressed, text
        node.transport.write(flags_and_size + bytes(4) + bytes(9_000))
        assert (await closed(node))[0] == 1002


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ('{"type":"dance"}', 1007, "message.malformed"),
        ("\x00", 1007, "message.malformed"),
        ('{"type":"hello","program":"x","wire_version":2}', 1008, "message.version"),
        ('{"type":"catalogue","serial":1}', 1007, "message.malformed"),
        (
            '{"type":"hello","program":"x","wire_version":1,"peer":{"addresses":["x"],"port":1}}',
            1007,
            "message.malformed",
        ),
    ],
)
async def test_a_greeting_that_is_none_ends_the_connection(two: Running, message: str, code: int, reason: str) -> None:
    async with another_is_served(two), two.node(greet=False) as node:
        await node.send(message)
        assert await closed(node) == (code, reason)


async def test_who_never_greets_is_sent_away(two: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.nodes.gateway._HELLO_TIMEOUT_S", 0.5)
    async with another_is_served(two), two.node(greet=False) as node:
        assert await closed(node) == (1008, "no greeting")


async def test_slow_handshakes_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.nodes.gateway._HELLO_TIMEOUT_S", 1.0)

    async def stranger(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01\x02\x00")  # the start of a TLS record, and no more
        rest = b""
        with contextlib.suppress(OSError):
            rest = await reader.read()
        writer.close()
        return rest

    async def silent_after_tls(port: int, context: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=SERVER_NAME)
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        rest = b""
        with contextlib.suppress(OSError):
            rest = await reader.read()
        writer.close()
        return rest

    async with running(tmp_path, "n1", "n2") as two, another_is_served(two), flat(60):
        async with asyncio.timeout(20):
            ended = await asyncio.gather(
                *(stranger(two.port) for _ in range(200)),
                *(silent_after_tls(two.port, two.contexts["n1"]) for _ in range(20)),
            )
        assert not any(b"101" in answer for answer in ended)


async def test_who_never_reads_is_dropped_and_holds_up_nobody(two: Running) -> None:
    async with another_is_served(two), flat(30):
        node = await two.line(ping_interval=None)
        await node.send(encode(Hello("deaf")))
        await node.recv()
        node.transport.pause_reading()
        gateway = two.gateway
        deaf = next(c for c, name in gateway._nodes.items() if name == "n1")
        for serial in range(60_000):
            gateway._tell([deaf], encode(CatalogueNotice(serial, (batch.FORMAT,))))
            if serial % 500 == 0:
                await asyncio.sleep(0)
                if deaf not in gateway._nodes:
                    break
        async with asyncio.timeout(5):
            await deaf.wait_closed()
            await asyncio.sleep(0.1)
        assert deaf not in gateway._nodes
        node.transport.abort()


@pytest.mark.slow
async def test_five_thousand_lines_of_one_certificate_are_four(two: Running) -> None:
    opened: list[ClientConnection] = []
    gate = asyncio.Semaphore(20)

    async def connect_once() -> None:
        async with gate:
            with contextlib.suppress(OSError, WebSocketException, EOFError):
                line = await two.line(ping_interval=None)
                opened.append(line)

    async with another_is_served(two):
        await asyncio.gather(*(connect_once() for _ in range(300)))  # allocators and caches fill up
        async with flat(25):
            for _ in range(47):
                await asyncio.gather(*(connect_once() for _ in range(100)))
                opened[:] = [line for line in opened if line.close_code is None]
                assert len(two.gateway._crowd) <= 2 * A_NODE + 2
                gc.collect()
        newest = await two.line()
        await newest.send(encode(Hello("newest")))
        assert isinstance(await newest.recv(), str)
        await newest.close()
        for line in opened:
            line.transport.abort()


async def test_the_line_that_gave_way_hears_why(two: Running) -> None:
    async with two.node() as first, contextlib.AsyncExitStack() as stack:
        for _ in range(A_NODE):
            await stack.enter_async_context(two.node())
        assert await closed(first) == (1008, "replaced")
