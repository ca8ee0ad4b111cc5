"""Links to other nodes, and how they are found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from edge_node.bootstrap.local import Local
from edge_node.errors import NotEnrolledError

if TYPE_CHECKING:
    from edge_node.discovery.browser import ZeroconfBrowser
    from edge_node.discovery.trust import Probe
    from edge_node.peers.hub import Hub


class Peers(Local):
    """Links to other nodes, and how they are found."""

    @asynccontextmanager
    async def serving_peers(self) -> AsyncIterator[Hub]:
        """Links to other nodes that last as long as the block, for everything that is fetched meanwhile."""
        async with self._peers() as hub:
            self.hub = hub
            try:
                yield hub
            finally:
                self.hub = None

    def _peers(self) -> AbstractAsyncContextManager[Hub]:
        """Links to other nodes of the same coordinator."""
        import ssl

        from edge_node.cache.artifacts import FOLDER
        from edge_node.identity import tls
        from edge_node.peers.hub import Contexts, Counters
        from edge_node.peers.shelf import SharedShelf
        from edge_node.peers.starting import running

        identity = self.identity()
        contexts = Contexts(
            tls.for_peers(identity.ca_pem, identity.credentials, ssl.PROTOCOL_TLS_SERVER),
            tls.for_peers(identity.ca_pem, identity.credentials, ssl.PROTOCOL_TLS_CLIENT),
            tls.node_name,
            self._revoked_nodes,
        )
        counters = Counters(
            lambda size: self.traffic.count("peers_in", size), lambda size: self.traffic.count("peers_out", size)
        )
        shelf = SharedShelf(self.paths.cache / FOLDER)
        return running(self.config, contexts, shelf, self.throttles.lan, counters)

    async def _revoked_nodes(self) -> frozenset[str]:
        """The nodes that the coordinator has put out, by the list that this machine verified last."""
        async with self.index() as store:
            record = await store.trust(self.identity().anchor.coordinator)
        return frozenset() if record is None else frozenset(record.rollout.revoked_nodes)

    def browser(self, interfaces: str) -> ZeroconfBrowser:
        """Listens on the local network."""
        from edge_node.discovery.browser import ZeroconfBrowser

        return ZeroconfBrowser(interfaces)

    def probe(self) -> tuple[str | None, Probe]:
        """The pinned CA's fingerprint and the proof of it; without a coordinator nothing can be proved."""
        from edge_node.discovery.trust import NoProbe, TlsProbe

        try:
            identity = self.identity()
        except NotEnrolledError:
            return None, NoProbe()
        return identity.ca_sha256, TlsProbe(identity.ca_pem, identity.credentials)

    def _where(self) -> tuple[tuple[str, ...], int] | None:
        """Where other nodes reach the hub, for the coordinator to tell those near."""
        if self.hub is None or self.hub.port is None or not self.config.discovery:
            return None
        from edge_node.discovery.network import own_addresses

        return own_addresses(self.config.interfaces), self.hub.port

    def _hear(self, addresses: Sequence[tuple[str, int]]) -> None:
        if self.hub is not None:
            for host, port in addresses:
                self.hub.hint(host, port)
