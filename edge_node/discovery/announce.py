"""Announcing on the local network that this node serves peers, without saying whose it is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from zeroconf import Error as ZeroconfError
from zeroconf import ServiceInfo

from edge_node.discovery.network import lasting, own_addresses
from protocols.discovery import SERVICE_TYPE, to_txt


@asynccontextmanager
async def announced_peer(interfaces: str, port: int, instance_id: str) -> AsyncIterator[None]:
    """Announce until the block is left; where there is no network, as soon as there is one.

    Args:
        interfaces: all, default or loopback.
        port: where peers are served.
        instance_id: 16 hexadecimal digits drawn at random by this process; the only name that is told.
    """
    task = asyncio.create_task(_announce(interfaces, port, instance_id))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # it never ends by itself


async def _announce(interfaces: str, port: int, instance_id: str) -> None:
    async with lasting(interfaces) as network:
        info = ServiceInfo(
            SERVICE_TYPE,
            f"{instance_id}.{SERVICE_TYPE}",
            addresses=[socket.inet_aton(a) for a in own_addresses(interfaces)],
            port=port,
            properties=to_txt("peer", instance_id),
            server=f"{instance_id}.local.",  # the usual name would be the machine's
        )
        try:
            # Nobody else has drawn this name: asking the network for a second whether it is free would be idle.
            await network.async_register_service(info, cooperating_responders=True)
            await asyncio.Event().wait()
        finally:
            with suppress(OSError, ZeroconfError):
                await network.async_unregister_all_services()
