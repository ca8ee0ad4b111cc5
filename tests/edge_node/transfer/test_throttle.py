from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from contextlib import aclosing, nullcontext, suppress
from pathlib import Path

import pytest

from edge_node.cache.lock import try_lock
from edge_node.transfer.bill import OwnBill, SharedBill
from edge_node.transfer.endpoint import CoordinatorEndpoint, http_client
from edge_node.transfer.throttle import Throttle, TokenBucket
from edge_node.transfer.traffic import Traffic
from protocols.artifacts import Artifact
from tests.edge_node.support.commands import ROOT

ENDLESS = Artifact("trunk", "a" * 64, 1 << 30)


class Clock:
    """Time that passes only while somebody sleeps, each time a little longer than asked for."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.late_s = late_s

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s + self.late_s


@pytest.mark.parametrize("size_bytes", [100, 1000, 65_536])
@pytest.mark.parametrize("kbps", [64.0, 2000.0])
async def test_the_long_run_rate_is_the_cap_whatever_the_size_of_the_takes(kbps: float, size_bytes: int) -> None:
    clock = Clock(late_s=0.002)
    throttle, done = Throttle(kbps, clock, clock.sleep), 0
    while clock.now_s < 100 + 200:
        await throttle.take(size_bytes)
        done += size_bytes
    assert done / (clock.now_s - 100) == pytest.approx(kbps * 125, rel=0.05)


async def test_several_takers_share_one_rate() -> None:
    throttle, done = Throttle(800.0), 0

    async def work() -> None:
        nonlocal done
        for _ in range(5):
            await throttle.take(4000)
            done += 4000

    start = time.monotonic()
    await asyncio.gather(*(work() for _ in range(3)))
    assert done / (time.monotonic() - start) == pytest.approx(100_000, rel=0.1)


def test_a_pause_saves_up_no_more_than_a_quarter_of_a_second() -> None:
    bucket = TokenBucket(1000.0, OwnBill())
    assert bucket.wait_s(0.0) == 0
    bucket.spend(250, 3600.0)
    assert bucket.wait_s(3600.0) == 0
    bucket.spend(1, 3600.0)
    assert bucket.wait_s(3600.0) == pytest.approx(0.001)


def test_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = TokenBucket(1000.0, OwnBill())
    bucket.spend(500, 5.0)
    assert bucket.wait_s(5.0) == bucket.wait_s(5.0) == 0.5


async def test_without_a_cap_nothing_waits() -> None:
    clock = Clock()
    await Throttle(0, clock, clock.sleep).take(10**9)
    assert clock.now_s == 100


def beside_each_other(path: Path, clock: Clock, count: int = 2) -> list[TokenBucket]:
    """Processes of one home, each with the file that they share."""
    return [TokenBucket(1000.0, SharedBill(path, clock)) for _ in range(count)]


def test_processes_of_one_home_share_one_cap(tmp_path: Path) -> None:
    clock, done, free_at = Clock(), 0, [0.0, 0.0]
    buckets = beside_each_other(tmp_path / "wan.paid", clock)
    while clock.now_s < 160:
        for number, bucket in enumerate(buckets):
            if clock.now_s >= free_at[number]:
                bucket.spend(500, clock.now_s)
                done += 500
                free_at[number] = clock.now_s + bucket.wait_s(clock.now_s)
        clock.now_s += 0.01
    assert done == pytest.approx(60 * 1000, rel=0.05)


def test_a_process_that_was_killed_leaves_no_more_than_its_debt(tmp_path: Path) -> None:
    path = tmp_path / "wan.paid"
    killed = [sys.executable, "-c", _SPENDS_AND_DIES, str(path)]
    assert subprocess.run(killed, check=False, cwd=ROOT).returncode == -signal.SIGKILL
    now_s = time.monotonic()
    assert 20 < TokenBucket(1000.0, SharedBill(path, time.monotonic)).wait_s(now_s) <= 30


_SPENDS_AND_DIES = """
import os, signal, sys, time
from pathlib import Path
from edge_node.transfer.bill import SharedBill
from edge_node.transfer.throttle import TokenBucket
TokenBucket(1000.0, SharedBill(Path(sys.argv[1]), time.monotonic)).spend(30_000, time.monotonic())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("left", [b"", b"torn", struct.pack("<d", 1e9), struct.pack("<d", float("nan"))])
def test_what_stands_there_from_before_or_is_damaged_is_disregarded(tmp_path: Path, left: bytes) -> None:
    path, clock = tmp_path / "wan.paid", Clock()
    path.write_bytes(left)
    (bucket,) = beside_each_other(path, clock, 1)
    assert bucket.wait_s(clock.now_s) == 0
    bucket.spend(500, clock.now_s)
    assert bucket.wait_s(clock.now_s) == 0.5


@pytest.mark.parametrize("obstacle", ["no folder", "a folder in its place", "held by a process that was stopped"])
def test_without_the_file_a_process_keeps_to_the_cap_by_itself(tmp_path: Path, obstacle: str) -> None:
    path, clock = tmp_path / "wan.paid", Clock()
    if obstacle == "no folder":
        path = tmp_path / "nowhere" / "wan.paid"
    elif obstacle == "a folder in its place":
        path.mkdir()
    with path.open("wb") if obstacle.startswith("held") else nullcontext() as held:
        assert held is None or try_lock(held.fileno())
        (bucket,) = beside_each_other(path, clock, 1)
        bucket.spend(500, clock.now_s)
        assert bucket.wait_s(clock.now_s) == 0.5


class EndlessServer:
    """Sends as fast as it is let; ``sent`` is what has left the program for the system."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.set_write_buffer_limits(4096)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS.size_bytes)
        with suppress(ConnectionError):
            while True:
                writer.write(bytes(4096))
                await writer.drain()
                self.sent += 4096
        writer.close()
        self.ended.set()


async def rates(kbps: float, seconds: float) -> tuple[float, float]:
    """Bytes a second over all that the reader paid for, and that the server sent once the systems' buffers were full."""
    server = EndlessServer()
    context = ssl.create_default_context()
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    listener.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    port = listener.sockets[0].getsockname()[1]
    async with http_client(context, 5, 30, kbps) as client:
        start, throttle = time.monotonic(), Throttle(kbps)
        endpoint = CoordinatorEndpoint(f"http://127.0.0.1:{port}", client, traffic := Traffic(), throttle)
        async with aclosing(endpoint.read(ENDLESS, 0)) as stream:
            marks: list[tuple[float, int, int]] = []
            async for block in stream:  # what came before this block is paid for
                marks.append((time.monotonic() - start, traffic.document()["coordinator"] - len(block), server.sent))
                if marks[-1][0] > seconds:
                    break
    listener.close()
    await server.ended.wait()
    early = next(mark for mark in marks if mark[0] > seconds / 3)
    last_s, got, sent = marks[-1]
    return got / last_s, (sent - early[2]) / (last_s - early[0])


async def test_the_cap_holds_within_five_per_cent_against_a_real_server() -> None:
    caps = (512.0, 2000.0)
    for cap, (got, sent) in zip(caps, await asyncio.gather(*(rates(cap, 4.0) for cap in caps)), strict=True):
        assert got == pytest.approx(cap * 125, rel=0.05), cap
        assert sent <= cap * 125 * 1.1, cap  # the systems' buffers hold a block more or less at the two moments
