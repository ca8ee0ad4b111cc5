"""A line that comes and goes: a TCP relay in front of a server."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class FlappingLine:
    """Relays connections; while down it closes them and takes no new ones. Counts what it carried to the client."""

    def __init__(self, server: str) -> None:
        self._server = (urlsplit(server).hostname, urlsplit(server).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = 0
        self.breaks = 0
        self._is_up = True
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def flap(self, up_s: float, down_s: float) -> None:
        """Begin to come and go; it is down when this returns."""
        self._is_up = False
        self._threads.append(threading.Thread(target=self._flap, args=(up_s, down_s)))
        self._threads[-1].start()

    def stop(self) -> None:
        """End all connections."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _flap(self, up_s: float, down_s: float) -> None:
        while not self._is_over.wait(down_s):
            self._is_up = True
            self._is_over.wait(up_s)
            self._is_up = False
            self.breaks += 1

    def _accept(self) -> None:
        while not self._is_over.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            client, _ = self._listener.accept()
            if not self._is_up:
                client.close()
                continue
            thread = threading.Thread(target=self._relay, args=(client, socket.create_connection(self._server)))
            thread.start()
            self._threads.append(thread)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        with client, server, contextlib.suppress(OSError):
            while self._is_up and not self._is_over.is_set():
                for ready in select.select([client, server], [], [], 0.05)[0]:
                    data = ready.recv(8 * 1024)
                    if not data:
                        return
                    other = server if ready is client else client
                    other.sendall(data)
                    self.carried += len(data) if other is client else 0


@contextmanager
def flapping(server: str) -> Iterator[FlappingLine]:
    """A line to a server, up until it is told to flap."""
    line = FlappingLine(server)
    try:
        yield line
    finally:
        line.stop()
