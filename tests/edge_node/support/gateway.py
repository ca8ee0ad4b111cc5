"""The coordinator's node gateway in a thread: takes reports, keeps every byte that nodes send, refuses, or is an old one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from protocols import heartbeat
from protocols.errors import ProtocolError
from protocols.heartbeat import Letter
from protocols.messages import CatalogueNotice, Hello, Receipt, decode, encode
from protocols.results import batch
from protocols.results.report import Report
from protocols.signatures import Signed
from tests.edge_node.support.authority import TestAuthority


class SimulatedGateway:
    """What it does, and what it saw."""

    def __init__(self) -> None:
        self.url = ""
        self.serial = 1
        self.accepts: tuple[str, ...] = (batch.FORMAT,)  # empty: an old coordinator
        self.turns_away = False  # as if the node were revoked
        self.poison: set[str] = set()  # ids of records for which a batch is refused
        self.refuses_heartbeats = False
        self.silent = False  # commits, and the receipt is lost
        self.heard: list[str | bytes] = []
        self.beats: list[tuple[Letter, Signed]] = []
        self.carried: list[tuple[str, bytes]] = []
        self.requests: list[bytes] = []  # the path and headers of each connection
        self.stored: dict[str, Report] = {}
        self.times_received: dict[str, int] = {}

    @property
    def connections(self) -> int:
        return len(self.requests)

    def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.requests.append(f"{connection.request.path}\n{connection.request.headers}".encode())
        with suppress(ConnectionClosed):
            if self.turns_away:
                connection.close(1008, "not enrolled")
                return
            self.heard.append(connection.recv())
            assert isinstance(decode(self.heard[-1]), Hello)
            connection.send(encode(CatalogueNotice(self.serial, self.accepts)))
            for frame in connection:
                self.heard.append(frame)
                assert isinstance(frame, bytes)
                if heartbeat.is_heartbeat(frame):
                    if self.refuses_heartbeats:
                        connection.close(1007, "heartbeat.malformed")
                        return
                    carried = heartbeat.unpack_carried(frame)
                    if carried is None:
                        self.beats.append(heartbeat.unpack(frame))
                    else:
                        self.carried.append(carried)
                    connection.send(encode(Receipt(batch.batch_id(frame))))
                    continue
                try:
                    reports = batch.unpack(frame)
                    if self.poison & {r.id for r in reports}:
                        raise ProtocolError("results.malformed", field="poison")
                except ProtocolError as error:
                    connection.close(1007, error.code)
                    return
                for report in reports:
                    self.stored.setdefault(report.id, report)
                    self.times_received[report.id] = self.times_received.get(report.id, 0) + 1
                if self.silent:
                    connection.close(1011, "died")
                    return
                connection.send(encode(Receipt(batch.batch_id(frame))))


@contextmanager
def listening(authority: TestAuthority, folder: Path) -> Iterator[SimulatedGateway]:
    """Serve on a free port of loopback; only nodes with a certificate may speak."""
    gateway = SimulatedGateway()
    context = authority.server_context(folder)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem)
    with serve(gateway.handle, "127.0.0.1", 0, ssl=context, compression=None) as server:
        gateway.url = f"wss://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield gateway
    thread.join()
