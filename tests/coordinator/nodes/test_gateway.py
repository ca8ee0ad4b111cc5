"""The node gateway against strangers and its own nodes: real TLS, real frames, and what it closes with."""

from __future__ import annotations

import asyncio
import json
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from coordinator.home import Home
from coordinator.nodes import authority as authorities
from coordinator.nodes.authority import SERVER_NAME, Authority
from coordinator.nodes.enrolment import Enrolment
from coordinator.nodes.gateway import Gateway
from coordinator.releases.repository import Repository
from coordinator.results.store import Chosen, Results
from coordinator.results.writer import ResultWriter
from coordinator.store.database import Database
from protocols.messages import CatalogueNotice, Hello, Receipt, decode, encode
from protocols.results import batch
from tests.support.coordinator import NOW, database, enrol, revoke
from tests.support.reports import confirmation, report


class Running:
    """A gateway with one enrolled node, ``n1``."""

    def __init__(self, opened: Database, url: str, context: ssl.SSLContext) -> None:
        self.database = opened
        self.results = Results(opened)
        self._url = url
        self._context = context

    @asynccontextmanager
    async def node(self, *, greet: bool = True) -> AsyncIterator[ClientConnection]:
        async with connect(
            self._url, ssl=self._context, server_hostname=SERVER_NAME, proxy=None, close_timeout=1
        ) as connection:
            if greet:
                await connection.send(encode(Hello("test")))
                assert decode(await connection.recv()) == CatalogueNotice(7, (batch.FORMAT,))
            yield connection

    async def count(self) -> int:
        return sum(row["results"] for row in await self.results.summary(Chosen()))


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    home = Home(tmp_path)
    home.keys.mkdir(parents=True)
    authorities.create(home, NOW)
    authority = Authority.load(home)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n1")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    certificate = authority.issue_node(request.public_bytes(serialization.Encoding.PEM), "n1", NOW)
    pem = tmp_path / "node.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.load_cert_chain(pem)
    async with database(tmp_path) as opened:
        await enrol(opened, "n1", certificate.fingerprint(hashes.SHA256()).hex())
        enrolment = Enrolment(opened, home, authority, Repository(home.repository))
        writer = ResultWriter(Results(opened), lambda: NOW)

        async def serial() -> int:
            return 7

        gateway = Gateway(lambda digest: enrolment.node_of(digest, NOW), serial, writer.store)
        server_context = authority.gateway_context(*authority.issue_server(["127.0.0.1"], NOW))
        async with writer.running(), gateway.listen("127.0.0.1", 0, server_context) as server:
            port = server.sockets[0].getsockname()[1]
            yield Running(opened, f"wss://127.0.0.1:{port}", context)


async def closed(connection: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await connection.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_a_batch_is_acknowledged_once_it_is_stored_and_counted_once(running: Running) -> None:
    frame, _ = batch.pack([report(1), confirmation(report(1)), report(2)])
    for _ in range(2):
        async with running.node() as node:
            for _ in range(2):
                await node.send(frame)
                assert decode(await node.recv()) == Receipt(batch.batch_id(frame))
                assert await running.count() == 2


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        (b"", 1007, "results.malformed"),
        (b"garbage", 1007, "results.malformed"),
        (zlib.compress(b"[" * 5_000_000), 1007, "results.malformed"),
        (zlib.compress(b'{"format":"medmesh.results/1","records":[{"kind":"result"}]}'), 1007, "results.malformed"),
        (b"x" * (batch.MAX_FRAME_BYTES + 1), 1009, ""),
        ("{}", 1007, "message.malformed"),
        ('{"type":"hello","program":"x","wire_version":99}', 1008, "message.version"),
    ],
)
async def test_what_is_not_understood_ends_the_connection_and_stores_nothing(
    running: Running, frame: str | bytes, code: int, reason: str
) -> None:
    async with running.node() as node:
        await node.send(frame)
        found_code, found_reason = await closed(node)
    assert found_code == code and found_reason.startswith(reason)
    assert await running.count() == 0


async def test_a_batch_with_one_bad_record_is_refused_whole(running: Running) -> None:
    good, bad = report(1).document(), report(2).document() | {"case": "CASE-1"}
    frame = zlib.compress(json.dumps({"format": batch.FORMAT, "records": [good, bad]}).encode())
    async with running.node() as node:
        await node.send(frame)
        assert (await closed(node))[0] == 1007
    assert await running.count() == 0


async def test_a_node_revoked_in_the_middle_is_refused_from_then_on(running: Running) -> None:
    async with running.node() as node:
        await node.send(batch.pack([report(1)])[0])
        await node.recv()
        await revoke(running.database, "n1")
        await node.send(batch.pack([report(2)])[0])
        assert await closed(node) == (1008, "node.revoked")
    async with running.node(greet=False) as node:
        assert await closed(node) == (1008, "not enrolled")
    assert await running.count() == 1


async def test_a_node_that_sends_and_never_reads_holds_up_nobody(running: Running) -> None:
    frame, _ = batch.pack([report(k) for k in range(200)])
    async with running.node() as flood, running.node() as other:

        async def send() -> None:
            while True:
                await flood.send(frame)

        flooding = asyncio.create_task(send())
        await asyncio.sleep(0.2)
        async with asyncio.timeout(20):
            for number in range(500, 505):
                own, _ = batch.pack([report(number)])
                await other.send(own)
                assert decode(await other.recv()) == Receipt(batch.batch_id(own))
        flooding.cancel()
        await asyncio.wait([flooding])
    assert await running.count() == 205
