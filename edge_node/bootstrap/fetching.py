"""The coordinator, mirrors and peers as sources of list and artifacts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node import VERSION
from edge_node.bootstrap.parts import LocalCache, Online, utc_now
from edge_node.bootstrap.peers import Peers
from edge_node.identity.identity import NodeIdentity

if TYPE_CHECKING:
    from edge_node.acceptance.judge import Judge
    from edge_node.activation.pull import Budget
    from edge_node.transfer.allowance import Allowance
    from edge_node.transfer.endpoint import CoordinatorEndpoint
    from edge_node.transfer.fetcher import ArtifactFetcher
    from edge_node.transfer.mirror import Mirror
    from edge_node.transfer.source import Source
    from edge_node.trust.bridge import SignedOrigin


class Fetching(Peers):
    """The coordinator, mirrors and peers as sources of list and artifacts."""

    def allowance(self) -> Allowance:
        """What may be fetched now, by the settings as they are then."""
        from edge_node.transfer.allowance import Allowance

        return Allowance(self._limits, self.ledger, utc_now, lambda: self.hub is not None and bool(self.hub.peers))

    @asynccontextmanager
    async def endpoints(self) -> AsyncIterator[list[CoordinatorEndpoint]]:
        """The coordinator's addresses, none of them connected yet."""
        from edge_node.identity import tls
        from edge_node.transfer.endpoint import CoordinatorEndpoint, http_client

        identity = self.identity()
        context = tls.pinned(identity.ca_pem)
        timeouts_s, throttle = (self.config.connect_timeout_s, self.config.read_timeout_s), self.throttles.wan
        try:
            async with http_client(context, *timeouts_s, throttle.kbps) as client:
                yield [CoordinatorEndpoint(url, client, self.traffic, throttle) for url in identity.urls]
        finally:
            await self.ledger.write()

    @asynccontextmanager
    async def mirrors(self) -> AsyncIterator[list[Mirror]]:
        """Plain file servers with the coordinator's files, as the settings name them; none of them connected yet."""
        urls = self.config.mirror_urls
        if not urls:  # the system's authorities take a while to read
            yield []
            return
        from edge_node.transfer.mirror import Mirror, mirror_client

        async with mirror_client(self.config.connect_timeout_s, self.config.read_timeout_s) as client:
            yield [Mirror(url, client, self.traffic, self.throttles.wan) for url in urls]

    @asynccontextmanager
    async def online(self) -> AsyncIterator[Online]:
        """Everything for fetching and activating."""
        from edge_node.peers.starting import PeersOnDemand
        from edge_node.transfer.budget import Budget, Budgeted
        from edge_node.transfer.fetcher import ArtifactFetcher

        self.identity()
        async with self.local() as local, self.endpoints() as endpoints, self.mirrors() as mirrors:
            peers = PeersOnDemand(self.config, self._peers, self.hub)
            budget = Budget(self._limits, self.ledger)
            wan: list[Source] = [*mirrors, *endpoints]
            sources = [Budgeted(source, budget) for source in wan]
            fetcher = ArtifactFetcher(
                local.artifacts, sources, mesh=peers, afford=budget.require, patience_s=self.config.retry_s
            )
            try:
                yield self._fetching(local, endpoints, fetcher, mirrors, budget, may_share=not peers.is_hopeless)
            finally:
                await peers.stop()

    def _judge(self) -> Judge:
        """What this site's labelled images say; without any, nothing heavy is loaded."""
        from edge_node.acceptance.answers import Bounds
        from edge_node.acceptance.judge import NoJudge, SiteJudge

        if not self.paths.federation.exists():
            return NoJudge()
        bounds = Bounds(self.config.worker_memory_mb, image_s=self.config.worker_timeout_s)
        return SiteJudge(self.paths.federation, self.copies, bounds)

    def trust_folder(self, identity: NodeIdentity) -> Path:
        """Where verified metadata of the coordinator is kept."""
        return self.paths.trust / identity.ca_sha256[:16]

    def _fetching(
        self,
        local: LocalCache,
        origins: Sequence[SignedOrigin],
        fetcher: ArtifactFetcher,
        mirrors: Sequence[SignedOrigin] = (),
        budget: Budget | None = None,
        *,
        may_share: bool = False,
    ) -> Online:
        """Feed and puller over whoever gives the list and the artifacts; without a budget they cost nothing."""
        from edge_node.acceptance.gate import Acceptance
        from edge_node.activation.installer import Installer
        from edge_node.activation.pull import NoBudget, Puller
        from edge_node.cache.lock import exclusive
        from edge_node.knowledge.replica import ReplicaUpdater
        from edge_node.trust.feed import CatalogueFeed

        identity = self.identity()
        store, artifacts, anchor = local.store, local.artifacts, identity.anchor
        acceptance = Acceptance(store, artifacts, self._judge(), anchor.coordinator, utc_now)
        installer = Installer(store, artifacts, fetcher, local.models, VERSION, anchor.coordinator, utc_now, acceptance)
        replica = ReplicaUpdater(self.paths.knowledge, store, artifacts, fetcher)
        feed = CatalogueFeed(
            origins,
            self.trust_folder(identity),
            identity.root(),
            anchor,
            store,
            artifacts,
            lambda: exclusive(self.paths.trust_lock),
            utc_now,
            mirrors,
        )
        puller = Puller(
            feed,
            store,
            artifacts,
            installer,
            replica,
            self.evictor(local),
            self.lock,
            utc_now,
            budget or NoBudget(),
            may_share=may_share,
        )
        return Online(local, feed, fetcher, puller)
