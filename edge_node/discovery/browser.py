"""Listening for ``_medmesh._tcp`` with zeroconf."""

from __future__ import annotations

import asyncio

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo

from edge_node.discovery.network import joined
from protocols.discovery import MAX_CANDIDATES, SERVICE_TYPE, Announcement, Candidates, from_txt

_RESOLVE_TIMEOUT_MS = 1500


class ZeroconfBrowser:
    """Collects announcements for a while; a flood of forged ones is cut at 64."""

    def __init__(self, interfaces: str) -> None:
        """Args: interfaces: ``all`` (loopback too, as for a demo on one machine), ``default`` or ``loopback``."""
        self._interfaces = interfaces

    async def listen(self, seconds: float) -> list[Announcement]:
        """Everything heard within ``seconds``, resolved."""
        names: set[str] = set()
        candidates = Candidates()
        tasks: set[asyncio.Task[None]] = set()
        network = joined(self._interfaces)

        def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
            if state_change is ServiceStateChange.Removed or name in names or len(names) >= MAX_CANDIDATES:
                return
            names.add(name)
            tasks.add(asyncio.ensure_future(_resolve(zeroconf, name, candidates)))

        try:
            browser = AsyncServiceBrowser(network.zeroconf, SERVICE_TYPE, handlers=[changed])
            await asyncio.sleep(seconds)
            await browser.async_cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await network.async_close()
        return candidates.all()


async def _resolve(zeroconf: Zeroconf, name: str, candidates: Candidates) -> None:
    info = AsyncServiceInfo(SERVICE_TYPE, name)
    if not await info.async_request(zeroconf, _RESOLVE_TIMEOUT_MS) or info.port is None:
        return
    for host in info.parsed_addresses(IPVersion.V4Only)[:4]:
        announcement = from_txt(dict(info.properties), host, info.port)
        if announcement is not None:
            candidates.hear(announcement)
