"""What travels by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from edge_node.bootstrap.line import Line
from edge_node.bootstrap.parts import utc_now
from edge_node.errors import EdgeError

if TYPE_CHECKING:
    from edge_node.activation.pull import Puller
    from edge_node.bundle.exporter import ListExporter
    from edge_node.bundle.importer import Importer
    from edge_node.bundle.post import HandedOver, Post
    from edge_node.bundle.reader import Bundle, BundleSource


class Sticks(Line):
    """What travels by hand."""

    @asynccontextmanager
    async def from_bundle(self, opened: Bundle) -> AsyncIterator[tuple[Importer, BundleSource]]:
        """Everything for taking a stick in; the same, and nobody on any network is asked."""
        from edge_node.bundle.importer import Importer
        from edge_node.bundle.reader import BundleSource
        from edge_node.transfer.fetcher import ArtifactFetcher

        coordinator, source = self.identity().ca_sha256, BundleSource(opened)
        async with self.local() as local:
            whole = self._fetching(local, [source], ArtifactFetcher(local.artifacts, [source]))
            store, artifacts = local.store, local.artifacts
            yield Importer(opened, whole.feed, whole.puller, store, artifacts, coordinator), source

    @asynccontextmanager
    async def list_exporter(self) -> AsyncIterator[ListExporter]:
        """What fills a stick; the caller holds the node's lock."""
        from edge_node.bundle.exporter import ListExporter
        from edge_node.cache.lock import exclusive

        identity = self.identity()
        async with self.online() as online, self.endpoints() as endpoints:
            yield ListExporter(
                online.feed,
                endpoints,
                online.local.store,
                online.local.artifacts,
                online.fetcher,
                self.trust_folder(identity),
                lambda: exclusive(self.paths.trust_lock),
                utc_now,
            )

    def kept_versions(self) -> tuple[int, int]:
        """Versions of the root and of the timestamp that this node verified last; 0: none."""
        from edge_node.bundle.gather import kept_versions

        return kept_versions(self.trust_folder(self.identity()))

    def post(self) -> Post:
        """Parcels and receipts that travel by hand."""
        from edge_node.bundle.post import Address, Post
        from edge_node.bundle.signing import NodeSigner

        identity = self.identity()
        address = Address(identity.node, identity.ca_sha256, identity.ca_pem)
        return Post(self.paths.mail, self.outbox(), address, lambda: NodeSigner(identity.credentials))

    async def hand_over(self) -> HandedOver:
        """Bring the parcels of other nodes to the coordinator; where none are, nobody is asked anything.

        Raises:
            EdgeError: the mail cannot be opened.
        """
        return await self.post().hand_over(self.endpoints)

    @asynccontextmanager
    async def updates(self) -> AsyncIterator[Puller]:
        """What the agent does about news, with connections that end with the block."""
        with suppress(EdgeError):  # there is time: the next piece of news brings the next attempt
            await self.renew_when_due()
        with suppress(EdgeError):
            await self.hand_over()
        async with self.online() as online:
            yield online.puller
