"""Joining zeroconf on this machine's networks, as the setting ``interfaces`` says."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncZeroconf

MAX_ADDRESSES = 4
_LOOK_AGAIN_S = 60.0
_LOOPBACK = "127.0.0.1"
_CHOICES: dict[str, InterfaceChoice | list[str]] = {
    "all": InterfaceChoice.All,  # loopback too, as for a demo on one machine
    "default": InterfaceChoice.Default,
    "loopback": [_LOOPBACK],
}


def joined(interfaces: str) -> AsyncZeroconf:
    """Open zeroconf's sockets.

    Raises:
        OSError: this machine has no network now.
    """
    return AsyncZeroconf(interfaces=_CHOICES[interfaces], ip_version=IPVersion.V4Only)


@asynccontextmanager
async def lasting(interfaces: str) -> AsyncIterator[AsyncZeroconf]:
    """Stay joined while networks come and go; waits for the first one."""
    while True:
        try:
            network = joined(interfaces)
            break
        except (OSError, RuntimeError):  # the latter where there is no interface at all
            await asyncio.sleep(_LOOK_AGAIN_S)
    follower = asyncio.create_task(_follow(network))
    try:
        yield network
    finally:
        follower.cancel()
        await asyncio.wait([follower])
        await network.async_close()


async def _follow(network: AsyncZeroconf) -> None:
    while True:
        await asyncio.sleep(_LOOK_AGAIN_S)
        with suppress(OSError, ZeroconfError):
            await network.async_update_interfaces()


def own_addresses(interfaces: str) -> tuple[str, ...]:
    """IPv4 addresses at which others can reach this machine, at most 4, that of its usual route first.

    Loopback only where nothing else is.
    """
    if interfaces == "loopback":
        return (_LOOPBACK,)
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if isinstance(ip.ip, str)]
    usable = [a for a in dict.fromkeys([*_usual(), *found]) if not ipaddress.ip_address(a).is_loopback]
    return tuple(usable[:MAX_ADDRESSES]) or (_LOOPBACK,)


def _usual() -> list[str]:
    """The address from which this machine would reach the world; nothing is sent (RFC 5737 names nobody)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return [str(probe.getsockname()[0])]
    return []
