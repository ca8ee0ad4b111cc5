from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_node.discovery.browser import ZeroconfBrowser
from edge_node.discovery.trust import NoProbe, TlsProbe, assess
from edge_node.identity import tls
from protocols.discovery import MAX_CANDIDATES, SERVICE_TYPE, Announcement, Candidates, to_txt
from tests.edge_node.support.authority import TestAuthority

FINGERPRINT = "ab" * 32


class SimulatedProbe:
    """The real coordinator is at one port."""

    def __init__(self, real_port: int) -> None:
        self.real_port = real_port
        self.real_peer = 5
        self.probed: list[int] = []

    async def proves(self, host: str, port: int) -> bool:
        self.probed.append(port)
        return port == self.real_port

    async def proves_peer(self, host: str, port: int) -> bool:
        return port == self.real_peer


def announced(port: int, identity: str = FINGERPRINT[:16], role: str = "coordinator") -> Announcement:
    return Announcement(role, identity, "127.0.0.1", port)  # type: ignore[arg-type]


async def test_a_spoofed_announcement_is_listed_and_not_trusted() -> None:
    heard = [announced(1), announced(2), announced(3, "0" * 16), announced(4, role="peer")]
    heard.append(announced(5, "1" * 16, role="peer"))
    probe = SimulatedProbe(real_port=2)
    found = await assess(heard, FINGERPRINT, probe)
    assert [(f.announcement.port, f.trusted) for f in found] == [
        (2, True),
        (5, True),
        (1, False),
        (3, False),
        (4, False),
    ]
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
    probe = TlsProbe(authority.pem, node_credentials(authority, tmp_path))
    async with listening(authority.server_context(tmp_path)) as port:
        assert await probe.proves("127.0.0.1", port)
    async with listening(TestAuthority().server_context(tmp_path)) as port:
        assert not await probe.proves("127.0.0.1", port)
    async with listening(authority.server_context(tmp_path, dns="node.medmesh")) as port:
        assert not await probe.proves("127.0.0.1", port)
    assert not await probe.proves("127.0.0.1", port)


def node_credentials(authority: TestAuthority, folder: Path, days: float = 400) -> Path:
    """A node's key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    path = folder / f"node-{x509.random_serial_number():x}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + authority.sign_request(csr.public_bytes(serialization.Encoding.PEM).decode(), days).encode()
    )
    return path


@pytest.mark.parametrize("days", [400, -0.5], ids=["valid", "ended"])
async def test_the_probe_knows_a_node_of_the_same_coordinator_also_with_an_ended_certificate(
    authority: TestAuthority, tmp_path: Path, days: float
) -> None:
    probe = TlsProbe(authority.pem, node_credentials(authority, tmp_path))
    own = tls.for_peers(authority.pem, node_credentials(authority, tmp_path, days), ssl.PROTOCOL_TLS_SERVER)
    async with listening(own) as port:
        assert await probe.proves_peer("127.0.0.1", port)
        assert not await probe.proves("127.0.0.1", port)
    stranger = TestAuthority()
    foreign = tls.for_peers(stranger.pem, node_credentials(stranger, tmp_path), ssl.PROTOCOL_TLS_SERVER)
    async with listening(foreign) as port:
        assert not await probe.proves_peer("127.0.0.1", port)
    assert not await probe.proves_peer("127.0.0.1", port)


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
