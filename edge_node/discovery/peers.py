"""Listening for peers as long as the agent or a download runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo

from edge_node.discovery.candidates import Address, PeerCandidates
from edge_node.discovery.network import MAX_ADDRESSES, lasting
from protocols.discovery import SERVICE_TYPE, Announcement, from_txt

OnPeer = Callable[[Announcement], None]

_RESOLVE_TIMEOUT_MS = 1500
_AT_ONCE = 16
_AGAIN_S = 300.0


class PeerBrowser:
    """Gives addresses of peers as they are heard; hints, of which at most 64 are kept.

    Names beyond that stay in zeroconf's own cache, which is bounded too; when a place becomes free, one of them is drawn.
    """

    def __init__(self, interfaces: str, own_id: str | None = None) -> None:
        """Args: interfaces: all, default or loopback; own_id: this process's own announcement, which is left out."""
        self._interfaces = interfaces
        self._own_id = own_id
        self._candidates = PeerCandidates()
        self._room = asyncio.Event()
        self._tried: set[str] = set()  # names in zeroconf's cache; those not there any longer are forgotten

    def __len__(self) -> int:
        return len(self._candidates)

    def proved(self, address: Address) -> None:
        """A node of the same coordinator answered there: nothing but its own failure takes its place."""
        self._candidates.proved(address)

    def failed(self, address: Address) -> None:
        """Nobody of ours answered there: its place goes to another, and it may be told again after five minutes."""
        self._candidates.failed(address)
        self._room.set()

    @asynccontextmanager
    async def running(self, on_peer: OnPeer) -> AsyncIterator[None]:
        """Listen until the block is left; where there is no network, as soon as there is one."""
        task = asyncio.create_task(self._listen(on_peer))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()  # it never ends by itself

    async def _listen(self, on_peer: OnPeer) -> None:
        def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
            if state_change is ServiceStateChange.Removed:
                self._candidates.withdrawn(name)
            self._tried.discard(name)
            self._room.set()

        async with lasting(self._interfaces) as network:
            browser = AsyncServiceBrowser(network.zeroconf, SERVICE_TYPE, handlers=[changed])
            try:
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_AGAIN_S):
                            await self._keep_filled(network.zeroconf, on_peer)
                    self._tried.clear()
                    self._candidates.forgive()
            finally:
                await browser.async_cancel()

    async def _keep_filled(self, zeroconf: Zeroconf, on_peer: OnPeer) -> None:
        """Resolve names that were heard, in random order, until the places are taken, and again when one is free."""
        while True:
            self._room.clear()
            names = set(_names(zeroconf))
            self._tried &= names
            fresh = [name for name in names - self._tried if not self._candidates.holds(name)]
            if not fresh or not self._candidates.room:
                await self._room.wait()
                continue
            chosen = random.sample(fresh, min(len(fresh), self._candidates.room, _AT_ONCE))
            self._tried.update(chosen)
            await asyncio.gather(*(self._resolve(zeroconf, name, on_peer) for name in chosen))

    async def _resolve(self, zeroconf: Zeroconf, name: str, on_peer: OnPeer) -> None:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        with suppress(OSError):  # the network went away meanwhile
            if not await info.async_request(zeroconf, _RESOLVE_TIMEOUT_MS) or info.port is None:
                return
        for host in info.parsed_addresses(IPVersion.V4Only)[:MAX_ADDRESSES]:
            heard = from_txt(dict(info.properties), host, info.port or 0)
            if heard is None or heard.role != "peer" or heard.id == self._own_id:
                return
            if self._candidates.hear(name, heard):
                on_peer(heard)


def _names(zeroconf: Zeroconf) -> list[str]:
    """Services of our kind that zeroconf has heard of."""
    aliases = [getattr(record, "alias", "") for record in zeroconf.cache.entries_with_name(SERVICE_TYPE)]
    return [alias for alias in aliases if alias.endswith(SERVICE_TYPE)]
