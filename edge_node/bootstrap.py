"""Puts the node together: the only module that names concrete classes. Heavy ones are imported when first needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node import VERSION
from edge_node.config import EdgeConfig, read_config
from edge_node.errors import EdgeError, NotEnrolledError, UnreachableError
from edge_node.identity.identity import NodeIdentity, load_identity
from edge_node.paths import Paths
from edge_node.transfer.ledger import Ledger
from edge_node.transfer.throttle import Throttle, Throttles
from edge_node.transfer.traffic import Traffic

if TYPE_CHECKING:
    from ssl import SSLObject

    from edge_node.activation.pull import Puller
    from edge_node.agent.gateway import Answer, WebsocketGateway
    from edge_node.bundle.exporter import ListExporter
    from edge_node.bundle.importer import Importer
    from edge_node.bundle.post import HandedOver, Post
    from edge_node.bundle.reader import Bundle, BundleSource
    from edge_node.cache.artifacts import ArtifactCache
    from edge_node.cache.evictor import Evictor
    from edge_node.cache.quarantine import Quarantine
    from edge_node.cache.store import CacheStore
    from edge_node.capture.guarded import GuardedSuggestions
    from edge_node.discovery.browser import ZeroconfBrowser
    from edge_node.discovery.trust import Probe
    from edge_node.federation.extract import Trunk
    from edge_node.federation.participant import Participant
    from edge_node.federation.site import LocalSite
    from edge_node.knowledge.replica import ReplicaKnowledge
    from edge_node.outbox.history import History
    from edge_node.outbox.outbox import Delivery, Outbox
    from edge_node.peers.hub import Hub
    from edge_node.transfer.allowance import Allowance
    from edge_node.transfer.endpoint import CoordinatorEndpoint
    from edge_node.transfer.fetcher import ArtifactFetcher
    from edge_node.transfer.mirror import Mirror
    from edge_node.trust.bridge import SignedOrigin
    from edge_node.trust.feed import CatalogueFeed
    from edge_node.trust.standing import Standing
    from edge_node.worker.guard import GuardedRecognition
    from edge_node.worker.models import Models
    from protocols.invite import Invite


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class LocalCache:
    """The index, the files that it speaks of, and what runs the models among them."""

    store: CacheStore
    artifacts: ArtifactCache
    models: Models


@dataclass(frozen=True)
class Online:
    """What needs the coordinator, or says that it is gone."""

    local: LocalCache
    feed: CatalogueFeed
    fetcher: ArtifactFetcher
    puller: Puller


class Edge:
    """One command's node."""

    def __init__(self, home: Path) -> None:
        """Args: home: the MedMesh home; nothing is written to it yet."""
        self.paths = Paths.of_home(home)
        self.config = self._read_config()
        self.traffic = Traffic()
        self.hub: Hub | None = None  # while the agent runs
        self.throttles = Throttles(Throttle(self.config.wan_kbps), Throttle(self.config.lan_kbps))
        self.ledger = Ledger(self.traffic, self.index, utc_now)

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
    async def index(self) -> AsyncIterator[CacheStore]:
        """The index of the cache alone."""
        from edge_node.cache.store import CacheStore

        async with CacheStore.open(self.paths.cache / "index.sqlite") as store:
            yield store

    def allowance(self) -> Allowance:
        """What may be fetched now, by the settings as they are then."""
        from edge_node.transfer.allowance import Allowance
        from edge_node.transfer.limits import Limits

        return Allowance(lambda: Limits.of(self._read_config()), self.ledger, utc_now)

    def evictor(self, local: LocalCache) -> Evictor:
        """What keeps the cache within its quota; used under ``lock``."""
        from edge_node.cache.evictor import Evictor
        from edge_node.knowledge.replica import DIGEST_NOTE

        return Evictor(
            local.store,
            local.artifacts,
            lambda: local.store.note(DIGEST_NOTE),
            lambda: self._read_config().cache_quota_mb * 1_000_000,
        )

    @asynccontextmanager
    async def local(self) -> AsyncIterator[LocalCache]:
        """The cache; works without any network."""
        from edge_node.cache.artifacts import ArtifactCache

        async with self.index() as store:
            artifacts = ArtifactCache(self.paths.cache, store)
            models = self._models(artifacts)
            try:
                yield LocalCache(store, artifacts, models)
            finally:
                await asyncio.to_thread(models.close)

    def _models(self, artifacts: ArtifactCache) -> Models:
        if not self.config.isolate:
            from edge_node.worker.models import LocalModels
            from protocols.pipeline import Pipelines

            return LocalModels(Pipelines(artifacts.path, self.config.threads))
        from edge_node.worker.client import WorkerLimits, WorkerModels

        limits = WorkerLimits(self.config.threads, self.config.worker_memory_mb, self.config.worker_timeout_s)
        return WorkerModels(artifacts.path, limits)

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
    async def online(self) -> AsyncIterator[Online]:
        """Everything for fetching and activating."""
        from edge_node.peers.starting import PeersOnDemand
        from edge_node.transfer.fetcher import ArtifactFetcher

        self.identity()
        async with self.local() as local, self.endpoints() as endpoints, self.mirrors() as mirrors:
            peers = PeersOnDemand(self.config, self._peers, self.hub)
            fetcher = ArtifactFetcher(local.artifacts, [*mirrors, *endpoints], mesh=peers)
            try:
                yield self._fetching(local, endpoints, fetcher, mirrors, self.allowance().require_budget)
            finally:
                await peers.stop()

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
            self._welcome,
        )
        counters = Counters(
            lambda size: self.traffic.count("peers_in", size), lambda size: self.traffic.count("peers_out", size)
        )
        shelf = SharedShelf(self.paths.cache / FOLDER)
        return running(self.config, contexts, shelf, self.throttles.lan, counters)

    async def _welcome(self, connection: SSLObject) -> str | None:
        """The node at the other end, unless the coordinator has put it out."""
        from edge_node.cache.store import CacheStore
        from edge_node.identity import tls

        name = tls.node_name(connection)
        async with CacheStore.open(self.paths.cache / "index.sqlite") as store:
            record = await store.trust(self.identity().anchor.coordinator)
        return None if record is not None and name in record.rollout.revoked_nodes else name

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
                self._trust_folder(identity),
                lambda: exclusive(self.paths.trust_lock),
                utc_now,
            )

    def _trust_folder(self, identity: NodeIdentity) -> Path:
        return self.paths.trust / identity.ca_sha256[:16]

    def _fetching(
        self,
        local: LocalCache,
        origins: Sequence[SignedOrigin],
        fetcher: ArtifactFetcher,
        mirrors: Sequence[SignedOrigin] = (),
        require_budget: Callable[[int], Awaitable[None]] | None = None,
    ) -> Online:
        """Feed and puller over whoever gives the list and the artifacts; without a budget they cost nothing."""
        from edge_node.activation.installer import Installer
        from edge_node.activation.pull import Puller, unlimited
        from edge_node.cache.lock import exclusive
        from edge_node.knowledge.replica import ReplicaUpdater
        from edge_node.trust.feed import CatalogueFeed

        identity = self.identity()
        store, artifacts, anchor = local.store, local.artifacts, identity.anchor
        installer = Installer(store, artifacts, fetcher, local.models, VERSION, anchor.coordinator, utc_now)
        replica = ReplicaUpdater(self.paths.knowledge, store, artifacts, fetcher)
        feed = CatalogueFeed(
            origins,
            self._trust_folder(identity),
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
            require_budget or unlimited,
        )
        return Online(local, feed, fetcher, puller)

    def kept_versions(self) -> tuple[int, int]:
        """Versions of the root and of the timestamp that this node verified last; 0: none."""
        from edge_node.bundle.gather import kept_versions

        return kept_versions(self._trust_folder(self.identity()))

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

    async def standing(self, store: CacheStore) -> Standing:
        """How current this node is and what is revoked, without asking anyone."""
        from edge_node.trust.standing import standing

        try:
            anchor = self.identity().anchor
        except NotEnrolledError:
            return standing(None, None, utc_now())
        return standing(anchor, await store.trust(anchor.coordinator), utc_now())

    async def renew_when_due(self) -> NodeIdentity | None:
        """Get a fresh certificate if the present one ends soon or has ended; None: it is not due yet.

        Raises:
            EdgeError: it could not be had; the present one stays.
        """
        from edge_node.identity.renewal import certificate_end, is_due, renew

        identity = self.identity()
        async with self.local() as local:
            floor = (await self.standing(local.store)).time_floor
        if not is_due(certificate_end(identity), max(utc_now(), floor or identity.joined)):
            return None
        async with self.endpoints() as endpoints, self.lock():
            return await renew(self.identity(), endpoints)

    async def locate_gateway(self) -> None:
        """Ask where the gateway is now; who answers a wrong address gains nothing, since the gateway must prove itself.

        Raises:
            EdgeError: nobody answered.
        """
        from edge_node.identity.identity import save_identity

        identity = self.identity()
        failure: EdgeError | None = None
        async with self.endpoints() as endpoints:
            for endpoint in endpoints:
                try:
                    found = await endpoint.status()
                except EdgeError as error:
                    failure = error
                    continue
                if found.node_url != identity.node_url:
                    moved = replace(identity, node_url=found.node_url)
                    save_identity(moved, identity.credentials.read_bytes(), identity.root())
                return
        if failure is not None:
            raise failure

    async def upkeep(self) -> None:
        """What the agent sees to when the gateway cannot be reached.

        Raises:
            EdgeError: it could not be done now.
        """
        await self.renew_when_due()
        await self.locate_gateway()

    def outbox(self) -> Outbox:
        """The history of results and what of it waits to be sent."""
        from edge_node.cache.lock import exclusive
        from edge_node.outbox.keys import KeyFile, SystemKeystore
        from edge_node.outbox.outbox import Outbox
        from edge_node.outbox.unlock import KEY_FILE, KEYSTORE

        return Outbox(
            self.paths.outbox,
            {KEYSTORE: SystemKeystore(), KEY_FILE: KeyFile(self.paths.outbox_key)},
            lambda: exclusive(self.paths.outbox_lock),
            self._coordinator,
            new_key_in=(KEYSTORE, KEY_FILE) if self.config.history_key == "auto" else (KEY_FILE,),
            most_waiting=self.config.outbox_most,
            keep_days=self.config.history_days,
            clock=utc_now,
            count=lambda size_bytes: self.traffic.count("outbox", size_bytes),
        )

    def _coordinator(self) -> str | None:
        try:
            return self.identity().ca_sha256
        except NotEnrolledError:
            return None

    def history(self, *, create: bool = False) -> AbstractAsyncContextManager[History]:
        """The history of results, opened with its key; with ``create``, as for saving, made where there is none.

        Raises:
            EdgeError: ``outbox.empty``: nothing was ever saved; ``outbox.*`` or ``storage.*``: it cannot be opened.
        """
        return self.outbox().history(create=create)

    async def deliver(self) -> Delivery:
        """Send what is queued, also what was turned down before; where nothing is, nobody is asked anything.

        Raises:
            EdgeError: the history cannot be opened.
        """
        outbox, before = self.outbox(), self._node_url()
        try:
            delivery = await outbox.deliver(self.gateway().session, retry_refused=True)
            if isinstance(delivery.failure, UnreachableError):
                with suppress(EdgeError):
                    await self.locate_gateway()
                if self._node_url() != before:
                    return await outbox.deliver(self.gateway().session, retry_refused=False)
            return delivery
        finally:
            await self.ledger.write()

    def _node_url(self) -> str | None:
        try:
            return self.identity().node_url
        except NotEnrolledError:
            return None

    def replica(self) -> ReplicaKnowledge:
        """The replica of the knowledge base."""
        from edge_node.knowledge.replica import ReplicaKnowledge

        return ReplicaKnowledge(self.paths.knowledge)

    def quarantine(self, local: LocalCache) -> Quarantine:
        """Which releases must not run here."""
        from edge_node.cache.quarantine import Quarantine

        try:
            coordinator = self.identity().anchor.coordinator
        except NotEnrolledError:
            coordinator = None
        return Quarantine(local.store, local.artifacts, coordinator, utc_now)

    def recognition(self, local: LocalCache, *, ask_coordinator: bool = True) -> GuardedRecognition:
        """Recognition with the installed models; the replica alone without ``ask_coordinator`` or before joining."""
        local.models.warm_up()  # its start goes on beside the imports here
        from edge_node.cache.usage import Usage
        from edge_node.knowledge.online import CoordinatorKnowledge
        from edge_node.recognition.service import RecognitionService
        from edge_node.worker.guard import GuardedRecognition

        coordinator = None
        if ask_coordinator:
            with suppress(NotEnrolledError):
                self.identity()
                coordinator = CoordinatorKnowledge(self.endpoints)
        service = RecognitionService(local.models, coordinator, self.replica(), self.config.diagnosis_timeout_s)
        return GuardedRecognition(service, self.quarantine(local), Usage(local.store, utc_now).note)

    def suggestions(self, local: LocalCache) -> GuardedSuggestions:
        """Regions to show the installed models; these judge them where all models run."""
        from edge_node.capture.guarded import GuardedSuggestions
        from edge_node.capture.novelty import ModelNovelty
        from edge_node.capture.service import CropSuggestions

        suggestions = CropSuggestions(ModelNovelty(local.models), local.artifacts.path)
        return GuardedSuggestions(suggestions, self.quarantine(local))

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
        return identity.ca_sha256, TlsProbe(identity.ca_pem, identity.credentials)

    def gateway(self, told: Callable[[str, str], None] | None = None) -> WebsocketGateway:
        """The line to the coordinator; with ``told``, questions of federated runs are answered on it, and it hears of them."""
        from edge_node.agent.gateway import Line, WebsocketGateway
        from edge_node.identity import tls

        def line() -> Line:
            identity = self.identity()  # a fresh certificate or a new address counts from the next connection on
            return Line(identity.node_url, tls.pinned(identity.ca_pem, identity.credentials))

        federation = None if told is None else self._taking_part(told)
        return WebsocketGateway(line, self.config.connect_timeout_s, self._where, self._hear, federation)

    def _taking_part(self, told: Callable[[str, str], None]) -> Callable[[], Awaitable[Answer | None]]:
        """Gives what answers questions of federated runs, while this site has consented to one."""
        from importlib.util import find_spec

        participants: list[Participant] = []
        making = asyncio.Lock()

        async def answer(question: bytes) -> bytes | None:
            async with making:
                if not participants:
                    participants.append(await asyncio.to_thread(self._participant, told))
            reply = await participants[0].answer(question)
            self.traffic.count("federation", len(question) + len(reply or b""))
            return reply

        async def federation() -> Answer | None:
            if not self.paths.federation.exists() or find_spec("flwr") is None:
                return None
            from edge_node.federation.store import SiteStore

            async with SiteStore.open(self.paths.federation) as store:
                return answer if await store.consents() else None

        return federation

    def _participant(self, told: Callable[[str, str], None]) -> Participant:
        import numpy as np

        from edge_node.federation.client_app import make_app
        from edge_node.federation.participant import Participant

        site = self.federation_site()
        return Participant(make_app(lambda _: site, np.random.default_rng()), self.identity().node, told)

    def federation_site(self) -> LocalSite:
        """What this site brings, for those who have consented."""
        from edge_node.federation.site import LocalSite

        return LocalSite(self.paths.federation, self._trunk, self._may_take_part)

    async def _may_take_part(self, disease: str) -> None:
        from edge_node.federation import permission
        from edge_node.federation.store import SiteStore

        used = (await self.ledger.this_month()).by_kind.get("federation", 0)
        async with SiteStore.open(self.paths.federation) as store:
            permission.require(disease, await store.consents(), utc_now().astimezone(), used)

    async def _trunk(self, sha256: str) -> Trunk | None:
        """A trunk that an installed release brought, verified."""
        from edge_node.cache.artifacts import ArtifactCache
        from edge_node.federation.extract import Trunk
        from protocols.manifest import ReleaseManifest

        async with self.index() as store:
            artifacts = ArtifactCache(self.paths.cache, store)
            for release in await store.installed():
                needed = [a for a in release.files if a.sha256 == sha256]
                if needed and await artifacts.holds(release.manifest) and await artifacts.holds(needed[0]):
                    manifest = ReleaseManifest.from_bytes(artifacts.path(release.manifest.sha256).read_bytes())
                    if manifest.stages[0].sha256 == sha256:
                        return Trunk(sha256, artifacts.path(sha256), manifest.input)
        return None

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
