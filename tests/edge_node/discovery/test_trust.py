from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge_node.discovery.browser import ZeroconfBrowser
from edge_node.discovery.trust import NoProbe, TlsProbe, assess
from protocols.discovery import MAX_CANDIDATES, SERVICE_TYPE, Announcement, Candidates, to_txt
from tests.edge_node.support.authority import TestAuthority

FINGERPRINT = "ab" * 32


class SimulatedProbe:
    """The real coordinator is at one port."""

    def __init__(self, real_port: int) -> None:
        self.real_port = real_port
        self.probed: list[int] = []

    async def proves(self, host: str, port: int) -> bool:
        self.probed.append(port)
        return port == self.real_port


def announced(port: int, identity: str = FINGERPRINT[:16], role: str = "coordinator") -> Announcement:
    return Announcement(role, identity, "127.0.0.1", port)  # type: ignore[arg-type]


async def test_a_spoofed_announcement_is_listed_and_not_trusted() -> None:
    heard = [announced(1), announced(2), announced(3, "0" * 16), announced(4, role="peer")]
    probe = SimulatedProbe(real_port=2)
    found = await assess(heard, FINGERPRINT, probe)
    assert [(f.announcement.port, f.trusted) for f in found] == [(2, True), (1, False), (3, False), (4, False)]
    assert sorted(probe.probed) == [1, 2]  # what does not even claim to be ours costs nothing


async def test_a_node_that_has_not_joined_trusts_nobody() -> None:
    assert [f.trusted for f in await assess([announced(2)], None, NoProbe())] == [False]


def test_a_flood_is_cut() -> None:
    candidates = Candidates()
    for port in range(1, 3001):
        candidates.hear(announced(port))
    assert len(candidates.all()) == MAX_CANDIDATES


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_probe_believes_the_pinned_authority_only(authority: TestAuthority, tmp_path: Path) -> None:
    probe = TlsProbe(authority.pem)
    async with listening(authority.server_context(tmp_path)) as port:
        assert await probe.proves("127.0.0.1", port)
    async with listening(TestAuthority().server_context(tmp_path)) as port:
        assert not await probe.proves("127.0.0.1", port)
    async with listening(authority.server_context(tmp_path, dns="node.medmesh")) as port:
        assert not await probe.proves("127.0.0.1", port)
    assert not await probe.proves("127.0.0.1", port)


async def test_announcements_on_loopback_are_heard() -> None:
    import socket

    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

    network = AsyncZeroconf(interfaces=["127.0.0.1"])
    info = ServiceInfo(
        SERVICE_TYPE,
        f"medmesh-test-{FINGERPRINT[:8]}.{SERVICE_TYPE}",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=4567,
        properties=to_txt("coordinator", FINGERPRINT, 4568),
        server="medmesh-test.local.",
    )
    try:
        await network.async_register_service(info)
        heard = await ZeroconfBrowser("loopback").listen(2.0)
    finally:
        await network.async_unregister_all_services()
        await network.async_close()
    assert Announcement("coordinator", FINGERPRINT[:16], "127.0.0.1", 4567, 4568) in heard
