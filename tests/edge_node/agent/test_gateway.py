from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edge_node.agent.gateway import Line, WebsocketGateway
from edge_node.errors import UnreachableError
from edge_node.identity import tls
from protocols.errors import ProtocolError
from protocols.messages import CatalogueNotice, Hello, decode, encode
from tests.edge_node.support.authority import TestAuthority


@asynccontextmanager
async def gateway(
    authority: TestAuthority, folder: Path, handler: Callable[[ServerConnection], Awaitable[None]], ca: str = ""
) -> AsyncIterator[WebsocketGateway]:
    async with serve(handler, "127.0.0.1", 0, ssl=authority.server_context(folder)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        line = Line(f"wss://127.0.0.1:{port}", tls.pinned(ca or authority.pem))
        yield WebsocketGateway(lambda: line, 5.0)


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
