"""A real gateway with real TLS, and nodes to connect to it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
from coordinator.nodes.gateway import Federation, Gateway
from coordinator.releases.repository import Repository
from coordinator.results.store import Chosen, Results
from coordinator.results.writer import ResultWriter
from coordinator.store.database import Database
from protocols.messages import CatalogueNotice, Hello, Listening, decode, encode
from protocols.results import batch
from tests.support.coordinator import NOW, database, enrol


class Running:
    """A gateway that serves enrolled nodes, ``n1`` if nothing else is said."""

    def __init__(
        self,
        opened: Database,
        port: int,
        contexts: dict[str, ssl.SSLContext],
        current: dict[str, int],
        gateway: Gateway,
    ) -> None:
        self.database = opened
        self.results = Results(opened)
        self.port = port
        self.contexts = contexts
        self.gateway = gateway
        self._current = current

    @property
    def serial(self) -> int:
        return self._current["serial"]

    def publish(self) -> None:
        """There is something new."""
        self._current["serial"] += 1

    def line(self, node: str = "n1", **options: Any) -> connect:
        settings = {"proxy": None, "close_timeout": 1, "compression": None, **options}
        url = f"wss://127.0.0.1:{self.port}"
        return connect(url, ssl=self.contexts[node], server_hostname=SERVER_NAME, **settings)

    @asynccontextmanager
    async def node(
        self, name: str = "n1", *, greet: bool = True, listening: Listening | None = None, **options: Any
    ) -> AsyncIterator[ClientConnection]:
        async with self.line(name, **options) as connection:
            if greet:
                await connection.send(encode(Hello("test", listening=listening)))
                assert decode(await connection.recv()) == CatalogueNotice(self.serial, (batch.FORMAT,))
            yield connection

    async def count(self) -> int:
        return sum(row["results"] for row in await self.results.summary(Chosen()))


def _credentials(folder: Path, authority: Authority, node: str) -> tuple[Path, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    certificate = authority.issue_node(request.public_bytes(serialization.Encoding.PEM), node, NOW)
    pem = folder / f"{node}.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return pem, certificate.fingerprint(hashes.SHA256()).hex()


@asynccontextmanager
async def running(
    folder: Path, *names: str, site: str | None = None, federation: Federation | None = None
) -> AsyncIterator[Running]:
    """Serve on loopback. ``site``: of all nodes; None: each has its own."""
    home = Home(folder)
    home.keys.mkdir(parents=True)
    authorities.create(home, NOW)
    authority = Authority.load(home)
    contexts = {}
    async with database(folder) as opened:
        for name in names or ("n1",):
            pem, fingerprint = _credentials(folder, authority, name)
            contexts[name] = ssl.create_default_context(cadata=authority.pem.decode())
            contexts[name].load_cert_chain(pem)
            await enrol(opened, name, fingerprint, site)
        enrolment = Enrolment(opened, home, authority, Repository(home.repository))
        writer = ResultWriter(Results(opened), lambda: NOW)

        current = {"serial": 7}

        async def serial() -> int:
            return current["serial"]

        gateway = Gateway(
            lambda digest: enrolment.node_of(digest, NOW), enrolment.revoked, serial, writer.store, federation
        )
        server_context = authority.gateway_context(*authority.issue_server(["127.0.0.1"], NOW))
        async with writer.running(), gateway.listen("127.0.0.1", 0, server_context) as server:
            yield Running(opened, server.sockets[0].getsockname()[1], contexts, current, gateway)


async def closed(connection: ClientConnection) -> tuple[int, str]:
    """With what the gateway closes; what it says before is not looked at."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await connection.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason
