"""Puts the node together: the only module that names concrete classes. Heavy ones are imported when first needed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node import VERSION
from edge_node.config import EdgeConfig, read_config
from edge_node.errors import NotEnrolledError
from edge_node.identity.identity import NodeIdentity, load_identity
from edge_node.paths import Paths
from edge_node.transfer.traffic import Traffic

if TYPE_CHECKING:
    from edge_node.activation.pull import Puller
    from edge_node.agent.gateway import WebsocketGateway
    from edge_node.cache.artifacts import ArtifactCache
    from edge_node.cache.store import CacheStore
    from edge_node.discovery.browser import ZeroconfBrowser
    from edge_node.discovery.trust import Probe
    from edge_node.knowledge.replica import ReplicaKnowledge
    from edge_node.recognition.service import RecognitionService
    from edge_node.transfer.endpoint import CoordinatorEndpoint
    from edge_node.transfer.feed import CatalogueFeed, Snapshot
    from protocols.invite import Invite


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class LocalCache:
    """The index and the files that it speaks of."""

    store: CacheStore
    artifacts: ArtifactCache


@dataclass(frozen=True)
class Online:
    """What needs the coordinator, or says that it is gone."""

    local: LocalCache
    feed: CatalogueFeed
    puller: Puller


class Edge:
    """One command's node."""

    def __init__(self, home: Path) -> None:
        """Args: home: the MedMesh home; nothing is written to it yet."""
        self.paths = Paths.of_home(home)
        self.config = self._read_config()
        self.traffic = Traffic()

    def _read_config(self) -> EdgeConfig:
        try:
            data = self.paths.config.read_bytes()
        except FileNotFoundError:
            data = b""
        return read_config(data, os.environ)

    def identity(self) -> NodeIdentity:
        """Who this node is.

        Raises:
            NotEnrolledError: nobody yet.
        """
        return load_identity(self.paths.identity)

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Held while the cache changes."""
        from edge_node.cache.lock import exclusive

        return exclusive(self.paths.lock)

    @asynccontextmanager
    async def local(self) -> AsyncIterator[LocalCache]:
        """The cache; works without any network."""
        from edge_node.cache.artifacts import ArtifactCache
        from edge_node.cache.store import CacheStore

        async with CacheStore.open(self.paths.cache / "index.sqlite") as store:
            yield LocalCache(store, ArtifactCache(self.paths.cache, store))

    @asynccontextmanager
    async def endpoints(self) -> AsyncIterator[list[CoordinatorEndpoint]]:
        """The coordinator's addresses, none of them connected yet."""
        from edge_node.identity import tls
        from edge_node.transfer.endpoint import CoordinatorEndpoint, http_client

        identity = self.identity()
        context = tls.pinned(identity.ca_pem)
        async with http_client(context, self.config.connect_timeout_s, self.config.read_timeout_s) as client:
            yield [CoordinatorEndpoint(url, client, self.traffic) for url in identity.urls]

    @asynccontextmanager
    async def online(self) -> AsyncIterator[Online]:
        """Everything for fetching and activating."""
        from edge_node.activation.installer import Installer
        from edge_node.activation.pull import Puller
        from edge_node.knowledge.replica import ReplicaUpdater
        from edge_node.transfer.feed import CatalogueCache, CatalogueFeed
        from edge_node.transfer.fetcher import ArtifactFetcher
        from protocols.pipeline import Pipelines

        identity = self.identity()
        async with self.local() as local, self.endpoints() as endpoints:
            fetcher = ArtifactFetcher(local.artifacts, endpoints)
            installer = Installer(local.store, local.artifacts, fetcher, Pipelines, VERSION, utc_now)
            replica = ReplicaUpdater(self.paths.knowledge, local.store, local.artifacts, fetcher)
            feed = CatalogueFeed(endpoints, CatalogueCache(self.paths.catalogue, identity.ca_sha256), utc_now)
            yield Online(local, feed, Puller(feed, local.store, local.artifacts, installer, replica, self.lock))

    @asynccontextmanager
    async def updates(self) -> AsyncIterator[Puller]:
        """What the agent does about news, with connections that end with the block."""
        async with self.online() as online:
            yield online.puller

    def kept_catalogue(self) -> Snapshot | None:
        """The last catalogue on disk, without asking anyone."""
        from edge_node.transfer.feed import CatalogueCache

        return CatalogueCache(self.paths.catalogue, self.identity().ca_sha256).load()

    def replica(self) -> ReplicaKnowledge:
        """The replica of the knowledge base."""
        from edge_node.knowledge.replica import ReplicaKnowledge

        return ReplicaKnowledge(self.paths.knowledge)

    def recognition(self, local: LocalCache) -> RecognitionService:
        """Recognition with the installed models; a node that has not joined uses the replica alone."""
        from edge_node.knowledge.online import CoordinatorKnowledge
        from edge_node.recognition.recogniser import Recogniser
        from edge_node.recognition.service import RecognitionService
        from protocols.pipeline import Pipelines

        try:
            self.identity()
            coordinator = CoordinatorKnowledge(self.endpoints)
        except NotEnrolledError:
            coordinator = None
        recogniser = Recogniser(Pipelines(local.artifacts.path, self.config.threads))
        return RecognitionService(recogniser, coordinator, self.replica(), self.config.diagnosis_timeout_s)

    async def join(self, invite: Invite, name: str) -> NodeIdentity:
        """Enrol this node."""
        from edge_node.identity import tls
        from edge_node.identity.enrolment import join
        from edge_node.transfer.endpoint import http_client
        from edge_node.transfer.registrar_endpoint import RegistrarEndpoint

        timeouts_s = (self.config.connect_timeout_s, self.config.read_timeout_s)
        async with http_client(tls.unverified(), *timeouts_s) as client:
            registrars = [RegistrarEndpoint(url, client, timeouts_s) for url in invite.urls]
            return await join(invite, name, self.paths.identity, registrars)

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
        return identity.ca_sha256, TlsProbe(identity.ca_pem)

    def gateway(self) -> WebsocketGateway:
        """The line to the coordinator."""
        from edge_node.agent.gateway import WebsocketGateway
        from edge_node.identity import tls

        identity = self.identity()
        context = tls.pinned(identity.ca_pem, identity.credentials)
        return WebsocketGateway(identity.node_url, context, self.config.connect_timeout_s)
