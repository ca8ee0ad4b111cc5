"""10,000 results of 200 nodes, the coordinator killed three times: none lost, none doubled, none acknowledged before its commit.

The coordinator is the real command; the nodes are real mutual-TLS lines with a certificate each, which resend until a receipt
is there, as the outbox does. Each also tells how it stands, on every line anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from coordinator.home import Home
from coordinator.nodes.authority import SERVER_NAME, Authority
from coordinator.store.database import Database
from coordinator.store.tables import nodes
from protocols.heartbeat import FORMAT
from protocols.messages import CatalogueNotice, Hello, Receipt, decode, encode
from protocols.results.batch import batch_id, pack
from tests.support.commands import Running, run
from tests.support.heartbeats import HEART, frame, public_pem
from tests.support.reports import report

pytestmark = pytest.mark.slow

NODES, RESULTS, BATCH = 200, 50, 10
KILLS_AT = (1_500, 4_500, 8_000)  # acknowledged results
AT_ONCE = 40


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Fleet:
    """200 nodes and what each has had acknowledged."""

    def __init__(self, home: Path, port: int) -> None:
        self.port = port
        self.home = Home(home)
        self.authority = Authority.load(self.home)
        self.keys = {f"{number:016x}": ec.generate_private_key(ec.SECP256R1()) for number in range(NODES)}
        self.contexts: dict[str, ssl.SSLContext] = {}
        self.acknowledged: set[tuple[str, str]] = set()
        self.sent: set[tuple[str, str]] = set()
        self.beats = 0
        self.connections = 0
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._killed = 0

    async def enrol(self, folder: Path) -> None:
        now, rows = datetime.now(UTC), []
        for node, key in self.keys.items():
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
            request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
            certificate = self.authority.issue_node(request.public_bytes(serialization.Encoding.PEM), node, now)
            form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            pem = folder / f"{node}.pem"
            pem.write_bytes(
                key.private_bytes(serialization.Encoding.PEM, *form)
                + certificate.public_bytes(serialization.Encoding.PEM)
            )
            self.contexts[node] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.contexts[node].load_verify_locations(cadata=self.authority.pem.decode())
            self.contexts[node].load_cert_chain(pem)
            rows.append(
                {
                    "id": node,
                    "name": node,
                    "groups": [],
                    "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
                    "public_key": public_pem(key),
                    "enrolled": now.isoformat(),
                }
            )
        opened = Database.connect(f"sqlite+aiosqlite:///{self.home.database}")
        async with opened.begin() as connection:
            await connection.execute(nodes.insert(), rows)
        await opened.close()

    async def live(self, number: int, node: str) -> None:
        """One node's life: whatever breaks, it goes on until everything is acknowledged."""
        reports = [report(number * RESULTS + k) for k in range(RESULTS)]
        waiting = [reports[start : start + BATCH] for start in range(0, RESULTS, BATCH)]
        serial = 0
        while waiting:
            with suppress(OSError, WebSocketException, TimeoutError):
                async with self._gate, await self._line(node) as line:
                    serial += 1
                    beat = replace(HEART, serial=serial, sent=datetime.now(UTC))
                    await self._told(line, frame(node, beat, self.keys[node]))
                    self.beats += 1
                    while waiting:
                        data, count = pack(waiting[0])
                        assert count == BATCH
                        self.sent |= {(node, r.id) for r in waiting[0]}
                        await self._told(line, data)
                        self.acknowledged |= {(node, r.id) for r in waiting.pop(0)}
                        await asyncio.sleep(0.01)
            if waiting:
                await asyncio.sleep(0.3)

    async def _line(self, node: str) -> ClientConnection:
        line = await connect(
            f"wss://127.0.0.1:{self.port}",
            ssl=self.contexts[node],
            server_hostname=SERVER_NAME,
            proxy=None,
            compression=None,
            close_timeout=1,
        )
        self.connections += 1
        await line.send(encode(Hello("test")))
        greeting = decode(await line.recv())
        assert isinstance(greeting, CatalogueNotice) and FORMAT in greeting.accepts
        return line

    async def _told(self, line: ClientConnection, data: bytes) -> None:
        await line.send(data)
        async with asyncio.timeout(120):
            while decode(await line.recv()) != Receipt(batch_id(data)):
                pass

    def stored(self) -> list[tuple[str, str]]:
        """What is on the disk, by a reader of its own."""
        with sqlite3.connect(self.home.database) as connection:
            return connection.execute("SELECT node, id FROM results").fetchall()


async def test_nothing_is_lost_doubled_or_acknowledged_before_it_is_committed(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    run("medmesh-coordinator", "init", "--approvals", "1", home=home)
    fleet = Fleet(home, port)
    await fleet.enrol(tmp_path)

    async def start() -> Running:
        ports = "--port", str(free_port()), "--node-port", str(port), "--no-zeroconf"
        server = Running("medmesh-coordinator", "serve", *ports, home=home)
        await asyncio.to_thread(server.wait_for, 120, url=None)  # it has to share the machine with 200 nodes
        return server

    server = await start()
    try:
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(fleet.live(number, node)) for number, node in enumerate(fleet.keys)]
            for at in KILLS_AT:
                while len(fleet.acknowledged) < at:
                    assert not all(task.done() for task in living)
                    await asyncio.sleep(0.01)
                os.kill(server.pid, signal.SIGKILL)
                known = set(fleet.acknowledged)
                server.stop()
                assert known <= set(fleet.stored()), "a receipt was sent before its batch was committed"
                assert len(fleet.stored()) < NODES * RESULTS
                server = await start()
    finally:
        server.stop()
    stored = fleet.stored()
    assert len(stored) == len(set(stored)) == NODES * RESULTS
    assert set(stored) == fleet.acknowledged == fleet.sent
    assert fleet.connections > NODES, "some were cut off and came back"
    told = run("medmesh-coordinator", "fleet", "list", home=home)["nodes"]
    assert len(told) == NODES and all(row["heartbeat"]["program"] == HEART.program for row in told)
    assert {row["staleness"] for row in told} == {"fresh"}
