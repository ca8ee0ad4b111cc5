"""Putting the hub, its announcement and its hints together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from edge_node.config import EdgeConfig
from edge_node.peers.hub import Contexts, Counters, Hub, HubSettings
from edge_node.peers.link import Line
from edge_node.peers.shelf import SharedShelf
from edge_node.transfer.plan import ANSWER_S, MOST_ASKED
from protocols.chunks import CHUNK_BYTES
from protocols.discovery import Announcement

_SETTLE_S = 1.5  # for nodes near to be found
_LINGER_S = 10.0


def settings(config: EdgeConfig) -> HubSettings:
    """What the user's settings mean for the hub; on a link that costs by the byte nothing is given."""
    at_cap_s = MOST_ASKED * CHUNK_BYTES / (config.lan_kbps * 125) if config.lan_kbps else 0.0
    return HubSettings(
        gives=config.share and not config.metered,
        host="127.0.0.1" if config.interfaces == "loopback" else "0.0.0.0",
        port=config.peer_port,
        fixed=config.peer_addresses,
        answer_s=ANSWER_S + at_cap_s,
    )


@asynccontextmanager
async def running(
    config: EdgeConfig, contexts: Contexts, shelf: SharedShelf, lan: Line, counters: Counters
) -> AsyncIterator[Hub]:
    """A hub that looks for peers and can be found, until the block is left."""
    hub = Hub(contexts, shelf, lan, counters, settings(config))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub.running())
        if config.discovery:
            from edge_node.discovery.announce import announced_peer
            from edge_node.discovery.peers import PeerBrowser

            browser = PeerBrowser(config.interfaces, hub.instance)

            def heard(one: Announcement) -> None:
                hub.hint(one.host, one.port)

            hub.on_outcome = lambda address, good: (browser.proved if good else browser.failed)(address)
            await stack.enter_async_context(browser.running(heard))
            if hub.port is not None:
                await stack.enter_async_context(announced_peer(config.interfaces, hub.port, hub.instance))
        yield hub


class PeersOnDemand:
    """Starts a hub when something has to be fetched, and stays while others still fetch from it."""

    def __init__(
        self, config: EdgeConfig, start: Callable[[], AbstractAsyncContextManager[Hub]], hub: Hub | None
    ) -> None:
        """Args: hub: one that runs already and goes on. ``is_hopeless``: nobody can be found by these settings."""
        self.is_hopeless = hub is None and not config.discovery and not config.peer_addresses
        self._start = start
        self._stack = AsyncExitStack()
        self._is_ours = hub is None
        self._hub = hub

    async def __call__(self) -> Hub | None:
        """The hub, once there was time for peers to be found; None where nobody could be."""
        if self.is_hopeless:
            return None
        if self._hub is None:
            self._hub = await self._stack.enter_async_context(self._start())
            await asyncio.sleep(_SETTLE_S)
        return self._hub

    async def stop(self) -> None:
        """Give others what they are fetching, for a while, and end."""
        if self._hub is not None and self._is_ours:
            await self._hub.linger(_LINGER_S)
        await self._stack.aclose()
