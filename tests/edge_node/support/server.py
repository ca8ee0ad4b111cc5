"""The simulator over real HTTPS on loopback, in a thread: for whole commands in processes of their own."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from protocols.heartbeat import Heartbeat
from protocols.invite import Invite
from protocols.parcels import (
    RECEIPT_FORMAT,
    PaperReceipt,
    parcel_digest,
    read_parcel,
)
from protocols.results.batch import batch_id, unpack
from protocols.signatures import envelope, signed_bytes
from tests.edge_node.support.authority import TestAuthority
from tests.edge_node.support.gateway import SimulatedGateway, listening
from tests.edge_node.support.node import NODE
from tests.edge_node.support.releases import Simulator

_BLOCK = 16 * 1024


class CoordinatorServer:
    """What the server does, and what it saw."""

    def __init__(self, simulator: Simulator, authority: TestAuthority, gateway: SimulatedGateway) -> None:
        self.simulator = simulator
        self.gateway = gateway
        self.authority = authority
        self.url = ""
        self.token = "one-time-token"
        self.ca_pem = authority.pem
        self.entries: dict[str, Any] = {}
        self.kb_version = "online-1"
        self.root: bytes | None = None  # offered instead of the real one
        self.certificate_days = 400.0
        self.node = NODE  # id of the next node that joins
        self.node_key: Any = None
        self.keys: dict[str, Any] = {}
        self.heartbeats: dict[str, Heartbeat] = {}
        self.requests: list[tuple[str, str | None]] = []  # path, Range
        self.received: list[bytes] = []  # every request: line, headers and body
        self.sent: dict[str, int] = {}  # bytes of each path
        self.pause_s = 0.0  # between blocks of an artifact
        self.answer_delay_s = 0.0

    @property
    def invite(self) -> str:
        root = hashlib.sha256(self.simulator.repository.first_root).hexdigest()
        return Invite((self.url,), self.authority.fingerprint, self.token, root, self.simulator.serial).encode()

    def get(self, path: str) -> tuple[int, bytes]:
        if path == "/v1/ca.pem":
            return 200, self.ca_pem.encode()
        if path == "/v1/root.json":
            return 200, self.root or self.simulator.repository.first_root
        if path == "/v1/status":
            return 200, json.dumps({"node_url": self.simulator.node_url, "serial": self.simulator.serial}).encode()
        if path.startswith("/v1/tuf/"):
            data = self.simulator.published(path.removeprefix("/v1/tuf/"))
            return (404, _error("none")) if data is None else (200, data)
        if path.startswith("/v1/artifacts/"):
            data = self.simulator.artifact(path.removeprefix("/v1/artifacts/"))
            return (404, _error("none")) if data is None else (200, data)
        if path.startswith("/v1/kb/entries/"):
            entry = self.entries.get(path.removeprefix("/v1/kb/entries/"))
            if entry is not None:
                return 200, json.dumps({"kb_version": self.kb_version, "entry": entry}).encode()
        return 404, _error("none")

    def enrol(self, request: dict[str, str]) -> tuple[int, bytes]:
        if request["token"] != self.token:
            return 403, _error("The invite was used before.")
        self.node_key = self.keys[self.node] = x509.load_pem_x509_csr(request["csr"].encode()).public_key()
        answer = {
            "node": self.node,
            "groups": ["pilot"],
            "certificate": self.authority.sign_request(request["csr"], self.certificate_days, self.node),
            "coordinator": "Simulated coordinator",
            "node_url": self.simulator.node_url,
        }
        return 200, json.dumps(answer).encode()

    def renew(self, request: dict[str, str]) -> tuple[int, bytes]:
        signature, csr = base64.b64decode(request["signature"]), request["csr"].encode()
        try:
            self.node_key.verify(signature, csr, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return 403, _error("Not this node.")
        if request["node"] != NODE or NODE in self.simulator.revoked_nodes:
            return 403, _error("The node is revoked.")
        return 200, json.dumps({"certificate": self.authority.sign_request(request["csr"])}).encode()

    def parcel(self, data: bytes) -> tuple[int, bytes]:
        parcel, signed = read_parcel(data)
        try:
            self.keys[parcel.node].verify(signed.signature, signed.data, ec.ECDSA(hashes.SHA256()))
        except (KeyError, InvalidSignature):
            return 403, _error("Not one of ours.")
        if parcel.node in self.simulator.revoked_nodes:
            return 403, _error("The node is revoked.")
        contents = self.authority.opened(parcel)
        for report in (report for frame in contents.frames for report in unpack(frame)):
            self.gateway.stored.setdefault(report.id, report)
        self.heartbeats[parcel.node] = contents.heartbeat
        body = PaperReceipt(parcel.node, parcel_digest(data), tuple(map(batch_id, contents.frames)), ()).body()
        return 200, envelope(self.authority.sign(signed_bytes(RECEIPT_FORMAT, body)), body)


def _error(message: str) -> bytes:
    return json.dumps({"error": {"code": "test", "message": message, "remedy": "Ask for a new one."}}).encode()


@contextmanager
def serving(simulator: Simulator, authority: TestAuthority, folder: Path) -> Iterator[CoordinatorServer]:
    """Serve on free ports of loopback until the block is left: HTTPS, and the gateway unless the simulator names one."""
    with listening(authority, folder) as gateway:
        if not simulator.node_url:
            simulator.node_url = gateway.url
        with _https(CoordinatorServer(simulator, authority, gateway), authority, folder) as server:
            yield server


@contextmanager
def _https(server: CoordinatorServer, authority: TestAuthority, folder: Path) -> Iterator[CoordinatorServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def parse_request(self) -> bool:
            is_whole = super().parse_request()
            server.received.append(self.raw_requestline + bytes(self.headers) if is_whole else self.raw_requestline)
            return is_whole

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            server.requests.append((self.path, asked))
            time.sleep(server.answer_delay_s)
            status, data = server.get(self.path)
            headers = {}
            if asked and status == 200:
                first, last = asked.removeprefix("bytes=").split("-")
                start, stop = int(first), min(int(last) + 1, len(data)) if last else len(data)
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
                status, data = 206, data[start:stop]
            self._send(status, data, headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.received.append(body)
            if self.path == "/v1/parcels":
                self._send(*server.parcel(body), {})
                return
            answer = server.enrol if self.path == "/v1/enrol" else server.renew
            self._send(*answer(json.loads(body)), {})

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for start in range(0, len(data), _BLOCK):
                    block = data[start : start + _BLOCK]
                    self.wfile.write(block)
                    server.sent[self.path] = server.sent.get(self.path, 0) + len(block)
                    time.sleep(server.pause_s)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign]  # killed clients are part of the tests
    http.socket = authority.server_context(folder).wrap_socket(
        http.socket, server_side=True, do_handshake_on_connect=False
    )
    server.url = f"https://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
