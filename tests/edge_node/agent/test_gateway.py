from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edge_node.agent.gateway import Line, WebsocketGateway
from edge_node.errors import UnreachableError
from edge_node.identity import tls
from edge_node.outbox.errors import BatchRefusedError, NotAcceptedError
from protocols.errors import ProtocolError
from protocols.messages import CatalogueNotice, Hello, Listening, Neighbours, Receipt, decode, encode
from protocols.results.batch import batch_id
from tests.edge_node.support.authority import TestAuthority


@asynccontextmanager
async def gateway(
    authority: TestAuthority,
    folder: Path,
    handler: Callable[[ServerConnection], Awaitable[None]],
    ca: str = "",
    **options: Any,
) -> AsyncIterator[WebsocketGateway]:
    async with serve(handler, "127.0.0.1", 0, ssl=authority.server_context(folder)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        line = Line(f"wss://127.0.0.1:{port}", tls.pinned(ca or authority.pem))
        yield WebsocketGateway(lambda: line, 5.0, **options)


async def test_session_greets_and_yields_serials_until_the_line_breaks(
    authority: TestAuthority, tmp_path: Path
) -> None:
    greetings: list[object] = []

    async def coordinator(connection: ServerConnection) -> None:
        greetings.append(decode(await connection.recv()))
        for serial in (4, 5):
            await connection.send(encode(CatalogueNotice(serial)))

    heard: list[int] = []
    async with gateway(authority, tmp_path, coordinator) as line:
        with pytest.raises(UnreachableError):
            async with line.session() as serials:
                async for serial in serials:
                    heard += [serial]
    assert heard == [4, 5]
    assert isinstance(greetings[0], Hello)
    assert greetings[0].program.startswith("medmesh-edge/")


async def test_a_batch_waits_for_its_own_receipt(authority: TestAuthority, tmp_path: Path) -> None:
    async def coordinator(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(encode(CatalogueNotice(1, ("medmesh.results/1",))))
        frame = await connection.recv()
        assert isinstance(frame, bytes)
        await connection.send(encode(Receipt("0" * 16)))
        await connection.send(encode(CatalogueNotice(2)))
        await connection.send(encode(Receipt(batch_id(frame))))
        await connection.wait_closed()

    async with gateway(authority, tmp_path, coordinator) as line, line.session() as session:
        assert await session.accepts() == ("medmesh.results/1",)
        await session.deliver(b"frame")
        assert [await anext(session), await anext(session)] == [1, 2]


@pytest.mark.parametrize(
    ("code", "reason", "failure"),
    [
        (1007, "results.malformed", BatchRefusedError),
        (1007, "message.version", UnreachableError),
        (1007, "results.x\x1b[31m", UnreachableError),
        (1008, "not enrolled", NotAcceptedError),
        (1008, "node.revoked", NotAcceptedError),
        (1008, "message.version", UnreachableError),
        (1013, "results.not_stored", UnreachableError),
        (1000, "", UnreachableError),
    ],
)
async def test_why_the_coordinator_closes_decides_what_comes_next(
    authority: TestAuthority, tmp_path: Path, code: int, reason: str, failure: type[Exception]
) -> None:
    async def coordinator(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(encode(CatalogueNotice(1)))
        await connection.recv()
        await connection.close(code, reason)

    async with gateway(authority, tmp_path, coordinator) as line, line.session() as session:
        await session.accepts()
        with pytest.raises(failure):
            await session.deliver(b"frame")
        with pytest.raises(UnreachableError):  # the verdict was on that frame, not on the next
            await session.deliver(b"another")
        assert await anext(session) == 1
        with pytest.raises(failure):
            await anext(session)


async def test_without_a_receipt_in_time_the_line_is_given_up(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_node.agent.gateway.RECEIPT_TIMEOUT_S", 0.05)

    async def coordinator(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send(encode(CatalogueNotice(1)))

    async with gateway(authority, tmp_path, coordinator) as line, line.session() as session:
        with pytest.raises(UnreachableError) as caught:
            await session.deliver(b"frame")
        assert caught.value.code == "outbox.no_receipt"
        with pytest.raises(UnreachableError):
            await session.deliver(b"frame")


async def test_notices_that_nobody_reads_do_not_pile_up(authority: TestAuthority, tmp_path: Path) -> None:
    async def coordinator(connection: ServerConnection) -> None:
        await connection.recv()
        for serial in range(500):
            await connection.send(encode(CatalogueNotice(serial)))
        await connection.send(encode(Receipt(batch_id(b"frame"))))
        await connection.wait_closed()

    async with gateway(authority, tmp_path, coordinator) as line, line.session() as session:
        await session.deliver(b"frame")
        assert await anext(session) == 500 - 64


@pytest.mark.parametrize("message", ["{}", "x" * 20_000, '{"type": "hello", "program": "x", "wire_version": 99}'])
async def test_what_is_no_message_ends_the_session(authority: TestAuthority, tmp_path: Path, message: str) -> None:
    async def coordinator(connection: ServerConnection) -> None:
        await connection.send(message)
        await asyncio.sleep(1)

    async with gateway(authority, tmp_path, coordinator) as line:
        with pytest.raises((ProtocolError, UnreachableError)):
            async with line.session() as serials:
                async for _ in serials:
                    pass


async def test_a_gateway_of_another_authority_is_not_spoken_to(authority: TestAuthority, tmp_path: Path) -> None:
    async def coordinator(connection: ServerConnection) -> None:
        raise AssertionError("must not get this far")

    async with gateway(authority, tmp_path, coordinator, ca=TestAuthority().pem) as line:
        with pytest.raises(UnreachableError):
            async with line.session():
                pass


async def test_a_node_that_serves_peers_says_where_and_hears_of_those_near(
    authority: TestAuthority, tmp_path: Path
) -> None:
    greetings: list[object] = []

    async def coordinator(connection: ServerConnection) -> None:
        greetings.append(decode(await connection.recv()))
        await connection.send(encode(Neighbours((("10.0.0.8", 4001), ("10.0.0.9", 4002)))))
        await connection.send(encode(CatalogueNotice(3)))
        await connection.wait_closed()

    heard: list[list[tuple[str, int]]] = []
    own = tuple(f"10.0.0.{n}" for n in range(1, 8))
    options = {"listening": lambda: (own, 4000), "hear_peers": heard.append}
    async with gateway(authority, tmp_path, coordinator, **options) as line, line.session() as session:
        assert await anext(session) == 3  # what is said of peers is no piece of news
    assert heard == [[("10.0.0.8", 4001), ("10.0.0.9", 4002)]]
    assert isinstance(greetings[0], Hello)
    assert greetings[0].listening == Listening(own[:4], 4000)


async def test_a_node_that_serves_no_peers_says_nothing_of_them(authority: TestAuthority, tmp_path: Path) -> None:
    greetings: list[str | bytes] = []

    async def coordinator(connection: ServerConnection) -> None:
        greetings.append(await connection.recv())
        await connection.send(encode(CatalogueNotice(3)))

    async with gateway(authority, tmp_path, coordinator) as line, line.session() as session:
        await anext(session)
    assert isinstance(greetings[0], str) and "peer" not in greetings[0]
