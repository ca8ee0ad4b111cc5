"""Announcing the coordinator on the local network by zeroconf."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zeroconf import InterfaceChoice, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from protocols.discovery import SERVICE_TYPE, to_txt


@asynccontextmanager
async def announced(host: str, port: int, node_port: int, fingerprint: str) -> AsyncIterator[None]:
    """Announce until the block is left. A coordinator on loopback is announced on loopback only."""
    local = host in ("127.0.0.1", "localhost", "::1")
    addresses = ["127.0.0.1"] if local else _addresses(host)
    service = AsyncZeroconf(interfaces=["127.0.0.1"] if local else InterfaceChoice.Default)
    identity = fingerprint[:16]
    info = ServiceInfo(
        SERVICE_TYPE,
        f"medmesh-{identity}-{port}.{SERVICE_TYPE}",
        addresses=[socket.inet_aton(a) for a in addresses],
        port=port,
        properties=to_txt("coordinator", fingerprint, node_port),
        server=f"medmesh-{identity}.local.",
    )
    try:
        await service.async_register_service(info, allow_name_change=True)
        yield
    finally:
        await service.async_unregister_all_services()
        await service.async_close()


def _addresses(host: str) -> list[str]:
    """The IPv4 addresses under which others can reach us; the route to a documentation address names the main one."""
    if host not in ("0.0.0.0", "::"):
        return [socket.gethostbyname(host)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ["127.0.0.1"]
        return [str(probe.getsockname()[0])]
