"""Peers on loopback: real zeroconf, real packets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import platform
import re
import secrets
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from zeroconf import DNSAddress, DNSOutgoing, DNSPointer, DNSService, DNSText

from edge_node.discovery.announce import announced_peer
from edge_node.discovery.network import MAX_ADDRESSES, own_addresses
from edge_node.discovery.peers import PeerBrowser
from protocols.discovery import MAX_CANDIDATES, SERVICE_TYPE, Announcement

GROUP, PORT = "224.0.0.251", 5353
_RESPONSE, _CLASS_IN, _A, _PTR, _TXT, _SRV = 0x8400, 1, 1, 12, 16, 33


class Heard:
    """What a browser told, and waiting for it."""

    def __init__(self) -> None:
        self.peers: list[Announcement] = []
        self._more = asyncio.Event()

    def __call__(self, peer: Announcement) -> None:
        self.peers.append(peer)
        self._more.set()

    async def until(self, port: int, timeout_s: float = 10) -> Announcement:
        async with asyncio.timeout(timeout_s):
            while True:
                self._more.clear()
                for peer in self.peers:
                    if peer.port == port:
                        return peer
                await self._more.wait()


def instance() -> str:
    return secrets.token_hex(8)


def free_port() -> int:
    return 20_000 + secrets.randbelow(40_000)


async def test_peers_hear_each_other_whoever_comes_first() -> None:
    first, second = instance(), instance()
    ports, heard = (free_port(), free_port()), (Heard(), Heard())
    async with (
        announced_peer("loopback", ports[0], first),
        PeerBrowser("loopback", own_id=first).running(heard[0]),
        announced_peer("loopback", ports[1], second),
        PeerBrowser("loopback", own_id=second).running(heard[1]),
    ):
        found = await heard[0].until(ports[1])
        assert found == Announcement("peer", second, "127.0.0.1", ports[1])
        assert (await heard[1].until(ports[0])).id == first
    assert first not in {p.id for p in heard[0].peers} and second not in {p.id for p in heard[1].peers}


async def test_a_peer_that_failed_leaves_its_place_and_is_not_told_again() -> None:
    port, heard = free_port(), Heard()
    browser = PeerBrowser("loopback")
    async with announced_peer("loopback", port, instance()), browser.running(heard):
        await heard.until(port)
        before = len(browser)
        browser.failed(("127.0.0.1", port))
        assert len(browser) == before - 1
        await asyncio.sleep(0.5)
        assert [p.port for p in heard.peers].count(port) == 1


@contextmanager
def multicast() -> Iterator[socket.socket]:
    """A socket that sends to and hears the group on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(AttributeError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        raw.bind(("", PORT))
        member = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        raw.setblocking(False)
        yield raw


async def test_an_announcement_says_nothing_of_who_and_where() -> None:
    own, packets = instance(), []
    loop = asyncio.get_running_loop()
    with multicast() as raw:
        async with announced_peer("loopback", free_port(), own):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while True:
                        packets.append(await loop.sock_recv(raw, 9000))
    mine = [p for p in packets if own.encode() in p]
    assert mine
    strings = {s.decode() for p in mine for s in re.findall(rb"[\x21-\x7e]{2,}", p)}
    # Nodes of tests beside this one repeat what they have heard, with their own random names.
    told = r"(id=)?[0-9a-f]{16}|_medmesh|_tcp|local|v=1|role=peer"
    left = {re.sub(told, "", s) for s in strings}
    assert all(len(rest) <= 3 for rest in left), left  # lengths and numbers that happen to be printable
    for name in {platform.node().encode(), os.environ.get("USER", "").encode()} - {b""}:
        assert len(name) < 3 or not any(name in p for p in mine)


def forged(number: int) -> bytes:
    """An announcement that anyone on the network can send."""
    name, server = f"forged-{number}.{SERVICE_TYPE}", f"forged-{number}.local."
    text = b"".join(bytes([len(t)]) + t for t in (b"v=1", b"role=peer", f"id={number:016x}".encode()))
    out = DNSOutgoing(_RESPONSE)
    out.add_answer_at_time(DNSPointer(SERVICE_TYPE, _PTR, _CLASS_IN, 4500, name), 0)
    out.add_answer_at_time(DNSService(name, _SRV, _CLASS_IN, 120, 0, 0, 1 + number, server), 0)
    out.add_answer_at_time(DNSText(name, _TXT, _CLASS_IN, 4500, text), 0)
    out.add_answer_at_time(DNSAddress(server, _A, _CLASS_IN, 120, socket.inet_aton("127.9.9.9")), 0)
    return out.packets()[0]


@asynccontextmanager
async def flooding() -> AsyncIterator[None]:
    """Three thousand forged peers."""
    with multicast() as raw:
        for number in range(3000):
            raw.sendto(forged(number), (GROUP, PORT))
            if number % 20 == 0:
                await asyncio.sleep(0.005)
        yield


@pytest.mark.alone  # every browser on this machine hears it
async def test_three_thousand_forged_peers_neither_fill_the_memory_nor_shut_anyone_out() -> None:
    port, heard = free_port(), Heard()
    browser = PeerBrowser("loopback")
    async with browser.running(heard):
        async with flooding():
            await asyncio.sleep(1)
        assert len(browser) == len(heard.peers) == MAX_CANDIDATES
        async with announced_peer("loopback", port, instance()):
            told = 0
            async with asyncio.timeout(60):
                while not any(p.port == port for p in heard.peers):
                    for peer in heard.peers[told:]:  # as whoever dials would find: nobody is there
                        told += 1
                        if peer.host == "127.9.9.9":
                            browser.failed((peer.host, peer.port))
                    assert len(browser) <= MAX_CANDIDATES
                    await asyncio.sleep(0.01)
            browser.proved(("127.0.0.1", port))
            async with flooding():
                await asyncio.sleep(0.5)
            assert len(browser) <= MAX_CANDIDATES
    assert any(p.port == port for p in heard.peers)


def test_own_addresses_are_few_and_loopback_only_where_nothing_else_is() -> None:
    assert own_addresses("loopback") == ("127.0.0.1",)
    for choice in ("all", "default"):
        found = own_addresses(choice)
        assert 1 <= len(found) <= MAX_ADDRESSES
        assert found == ("127.0.0.1",) or not any(ipaddress.ip_address(a).is_loopback for a in found)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="loopback multicast is bound differently there")
