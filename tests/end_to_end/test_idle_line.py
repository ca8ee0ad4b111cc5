"""What an idle node costs a thin line in a day: the real gateway, the node's own client, and every byte between them counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator.federation.lines import Lines
from edge_node.agent.gateway import Answer, Line, WebsocketGateway
from protocols.messages import PING_INTERVAL_S
from tests.coordinator.nodes.gateways import running

DAY_S = 86_400
MOST_BYTES = 100_000
HINTS_BYTES = 32_000  # coordinator/nodes/neighbours.py: a full purse and a day's filling


class Wire:
    """Passes TCP on and counts; TLS records and handshakes are in it, TCP's own headers are not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.bytes = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._one_way(reader, there[1]), self._one_way(there[0], writer))

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.bytes += len(data)
            writer.write(data)
        writer.close()


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[tuple[Wire, int]]:
    passing = Wire(port)
    server = await asyncio.start_server(passing.carry, "127.0.0.1", 0)
    async with server:
        yield passing, server.sockets[0].getsockname()[1]


@pytest.mark.alone
async def test_an_idle_line_costs_at_most_100_kb_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = 500  # a day's pings in three minutes: of them two seconds
    monkeypatch.setattr("coordinator.nodes.gateway._REAP_INTERVAL_S", 4 * PING_INTERVAL_S / fast)
    monkeypatch.setattr("edge_node.agent.gateway.PING_INTERVAL_S", PING_INTERVAL_S / fast)
    monkeypatch.setattr("edge_node.agent.gateway._LOOK_EVERY_S", 0.2)
    lines = Lines()

    async def answer(_: bytes) -> bytes | None:
        raise AssertionError("an idle node was asked")

    async def federation() -> Answer | None:
        return answer

    async with running(tmp_path, "n1", federation=lines) as gateway, wire(gateway.port) as (passing, port):
        line = Line(f"wss://127.0.0.1:{port}", gateway.contexts["n1"])
        async with WebsocketGateway(lambda: line, 5.0, federation=federation).session() as session:
            await anext(session)
            assert lines.present() == ["n1"]  # it takes part in federated runs; there is none
            connecting = passing.bytes
            started = asyncio.get_running_loop().time()
            await asyncio.sleep(12 * PING_INTERVAL_S / fast)
            pinged, watched_s = passing.bytes - connecting, asyncio.get_running_loop().time() - started
            gateway.publish()
            await anext(session)
            notice = passing.bytes - connecting - pinged
        await asyncio.sleep(0.1)
        closing = passing.bytes - connecting - pinged - notice
    pings = pinged * DAY_S / (watched_s * fast)
    day = pings + 2 * (connecting + closing) + 24 * notice + HINTS_BYTES
    assert pinged > 0
    assert day <= MOST_BYTES, f"pings {pings:.0f}, a connection {connecting + closing}, a notice {notice}"
