"""Nodes told of a release: a thousand mutual-TLS websockets in one process, the coordinator's gateway in another.

The time runs from the change of the published serial, for which the gateway looks once a second, until the last node has heard.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from figures import figure
from websockets.asyncio.client import ClientConnection, connect

from coordinator.bootstrap import utc_now
from coordinator.home import Home
from coordinator.nodes import authority as authorities
from coordinator.nodes.authority import SERVER_NAME, Authority
from coordinator.nodes.enrolment import Enrolment
from coordinator.nodes.gateway import Gateway
from coordinator.releases.repository import Repository
from coordinator.results.store import Results
from coordinator.results.writer import ResultWriter
from coordinator.store.database import Database
from coordinator.store.tables import nodes
from protocols.messages import PING_INTERVAL_S, CatalogueNotice, Hello, Listening, Neighbours, decode, encode

NODES = 1000
NOTICES = 20
AT_ONCE = 50
LIMIT_S = 2.0


def database(folder: Path) -> Database:
    return Database.connect(f"sqlite+aiosqlite:///{folder}/coordinator.sqlite")


async def prepare(folder: Path, count: int) -> None:
    """A coordinator's keys, and ``count`` enrolled nodes with a certificate each."""
    home, now = Home(folder), utc_now()
    home.keys.mkdir(parents=True)
    authorities.create(home, now)
    authority = Authority.load(home)
    rows = []
    for number in range(count):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        certificate = authority.issue_node(csr.public_bytes(serialization.Encoding.PEM), f"{number:016x}", now)
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, *form)
        (folder / f"{number}.pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        rows.append(
            {
                "id": f"{number:016x}",
                "name": f"node {number}",
                "site": f"site {number // 10}",
                "groups": [],
                "certificate_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
                "public_key": "",
                "enrolled": now.isoformat(),
            }
        )
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "serial").write_text("1")
    opened = database(folder)
    await opened.create()
    async with opened.begin() as connection:
        await connection.execute(nodes.insert(), rows)
    await opened.close()


async def serve(folder: Path) -> None:
    """The gateway's process: prints its port and goes on until it is killed."""
    home = Home(folder)
    authority, opened = Authority.load(home), database(folder)
    enrolment = Enrolment(opened, home, authority, Repository(home.repository))
    writer = ResultWriter(Results(opened), utc_now)

    async def serial() -> int:
        return int((folder / "serial").read_text())

    gateway = Gateway(lambda digest: enrolment.node_of(digest, utc_now()), enrolment.revoked, serial, writer.store)
    context = authority.gateway_context(*authority.issue_server(["127.0.0.1"], utc_now()))
    async with writer.running(), gateway.listen("127.0.0.1", 0, context) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.Event().wait()


async def listen(folder: Path, port: int, count: int) -> None:
    """The nodes' process: prints when all are connected, and for each serial when the last node has heard."""
    ca, heard = (folder / "ca.pem").read_text(), dict[int, int]()
    gate = asyncio.Semaphore(AT_ONCE)
    greeted: asyncio.Queue[int] = asyncio.Queue()

    async def open_line(number: int) -> ClientConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=ca)
        context.load_cert_chain(folder / f"{number}.pem")
        async with gate:
            line = await connect(
                f"wss://127.0.0.1:{port}",
                ssl=context,
                server_hostname=SERVER_NAME,
                proxy=None,
                compression=None,
                open_timeout=60,
                ping_interval=PING_INTERVAL_S,
            )
            await line.send(encode(Hello("benchmark", listening=Listening(("127.0.0.1",), 10_000 + number))))
            await line.recv()
            greeted.put_nowait(number)
            return line

    async def stay(number: int) -> None:
        line = await open_line(number)
        async for data in line:
            match decode(data):
                case CatalogueNotice(serial):
                    heard[serial] = heard.get(serial, 0) + 1
                    if heard[serial] == count:
                        print(json.dumps({"serial": serial, "at": time.monotonic()}), flush=True)
                case Neighbours():
                    pass

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(stay(number))
        for _ in range(count):
            await greeted.get()
        print(json.dumps({"connected": count}), flush=True)


def resident_mb(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def answer(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


def child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(prepare(folder, NODES))
        gateway = child("serve", name)
        crowd = None
        try:
            port = int(answer(gateway)["port"])
            before = resident_mb(gateway)
            started = time.monotonic()
            crowd = child("listen", name, str(port), str(NODES))
            answer(crowd)
            connecting_s = time.monotonic() - started
            time.sleep(12)  # until all have heard of their neighbours
            connected = resident_mb(gateway)
            waits = []
            for serial in range(2, NOTICES + 2):
                time.sleep(0.05 * serial)  # not in step with the gateway's own second
                changed = time.monotonic()
                (folder / "fresh").write_text(str(serial))
                (folder / "fresh").replace(folder / "serial")
                waits.append(answer(crowd)["at"] - changed)
            after = resident_mb(gateway)
        finally:
            for process in (crowd, gateway):
                if process is not None:
                    process.kill()
                    process.wait()
    middle, worst = statistics.median(waits), max(waits)
    told = f"{middle:.2f} s median, {worst:.2f} s longest of {NOTICES}"
    figure(f"{NODES} nodes told of a release", told, "—", None, f"≤ {LIMIT_S:g} s each", worst <= LIMIT_S)
    memory = f"{before:.0f} MB idle, {connected:.0f} MB connected, {after:.0f} MB after {NOTICES} notices"
    figure("the gateway's memory", memory, "—", None, "flat: ≤ 1.05 × connected", after <= 1.05 * connected)
    figure(f"{NODES} nodes connect", f"{connecting_s:.1f} s", "—", None, "≤ 60 s", connecting_s <= 60)
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder]:
            asyncio.run(serve(Path(folder)))
        case ["listen", folder, port, count]:
            asyncio.run(listen(Path(folder), int(port), int(count)))
        case _:
            sys.exit(main())
