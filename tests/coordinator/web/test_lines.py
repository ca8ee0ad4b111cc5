"""Senders that do not listen."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from protocols.access import RIGHTS
from tests.support.uploads import Serving, declaration


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as found:
        yield found


def request(served: Serving, length: int) -> bytes:
    token = served.run(served.office.token(*RIGHTS))

    async def upload() -> str:
        async with served.office.uploader(token) as client:
            return str((await client.post("/v1/uploads", json=declaration(b"x" * 100_000))).json()["upload"])

    lines = [
        f"PUT /v1/uploads/{served.run(upload())}/parts/0 HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {token}",
        "Content-Type: application/octet-stream",
        f"Content-Digest: sha-256=:{'A' * 43}=:",
        f"Content-Length: {length}",
        "\r\n",
    ]
    return "\r\n".join(lines).encode()


def connect(served: Serving) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    parts = urlsplit(served.url)
    return context.wrap_socket(socket.create_connection((parts.hostname, parts.port), timeout=10))


def test_who_goes_on_sending_after_a_refusal_or_leaves_harms_nobody_and_fills_no_log(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    head = request(served, 99_999_999)

    def shout() -> None:
        with connect(served) as line:
            try:
                line.sendall(head)
                for _ in range(100):
                    line.sendall(b"x")
                    time.sleep(0.002)
            except OSError:
                return

    def leave() -> None:
        with connect(served) as line:
            line.sendall(request(served, 65536) + b"x" * 100)

    with caplog.at_level(logging.WARNING):
        threads = [threading.Thread(target=what) for what in (shout, leave) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert httpx.get(f"{served.url}/v1/status", verify=False).status_code == 200
    assert caplog.messages == []


def test_a_refusal_is_heard_before_the_body_is_sent(served: Serving) -> None:
    with connect(served) as line:
        line.sendall(request(served, 99_999_999) + b"x")
        assert line.recv(100).startswith(b"HTTP/1.1 413")
