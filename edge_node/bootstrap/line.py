"""The line to the coordinator: joining, certificates, notices, results."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_node.bootstrap.federation import Federation
from edge_node.bootstrap.parts import utc_now
from edge_node.errors import EdgeError, UnreachableError
from edge_node.files import database_stamps
from edge_node.identity.identity import NodeIdentity

if TYPE_CHECKING:
    from edge_node.agent.gateway import WebsocketGateway
    from edge_node.health.pulse import Pulse
    from edge_node.outbox.outbox import Delivery
    from protocols.heartbeat import Heartbeat
    from protocols.invite import Invite


class Line(Federation):
    """The line to the coordinator: joining, certificates, notices, results."""

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

    def gateway(self, told: Callable[[str, str], None] | None = None) -> WebsocketGateway:
        """The line to the coordinator; with ``told``, questions of federated runs are answered on it, and it hears of them."""
        from edge_node.agent.gateway import Line, WebsocketGateway
        from edge_node.identity import tls

        def line() -> Line:
            identity = self.identity()  # a fresh certificate or a new address counts from the next connection on
            return Line(identity.node_url, tls.pinned(identity.ca_pem, identity.credentials))

        federation = None if told is None else self._taking_part(told)
        return WebsocketGateway(line, self.config.connect_timeout_s, self._where, self._hear, federation)

    async def heartbeat(self) -> Heartbeat:
        """How this node stands, under a serial of its own.

        Raises:
            EdgeError: the index or the history cannot be opened.
        """
        from edge_node.health.pulse import next_serial

        now = utc_now()
        async with self.index() as store:
            return replace(await self._stands(), serial=await next_serial(store, now), sent=now)

    async def _stands(self) -> Heartbeat:
        import shutil

        from edge_node import VERSION
        from edge_node.cache.artifacts import ArtifactCache
        from edge_node.health.collect import Facts, heartbeat

        outbox = await self.outbox().counts()
        async with self.index() as store:
            facts = Facts(
                program=VERSION,
                standing=await self.standing(store),
                outbox=outbox,
                health=await store.health(),
                declined=await store.declines(),
                quarantined=await store.quarantined(),
                events=await store.events(),
                storage_used_bytes=ArtifactCache(self.paths.cache, store).total_bytes(),
                storage_free_bytes=shutil.disk_usage(self.paths.cache).free,
            )
        return heartbeat(facts, 1, utc_now())

    def _signed(self, heartbeat: Heartbeat) -> bytes:
        """The frame of a heartbeat; a renewed key counts from the next one on."""
        from edge_node.bundle.signing import NodeSigner
        from protocols.heartbeat import Letter

        identity = self.identity()
        return NodeSigner(identity.credentials).signed_heartbeat(Letter(identity.node, heartbeat))

    def pulse(self) -> Pulse:
        """Heartbeats over the line."""
        from datetime import timedelta

        from edge_node.health.pulse import Pulse
        from edge_node.health.schedule import Schedule

        return Pulse(
            self._stands,
            lambda: database_stamps(self.paths.cache / "index.sqlite", self.paths.outbox),
            self._signed,
            self.index,
            Schedule(timedelta(seconds=self.config.heartbeat_gap_s)),
            utc_now,
            lambda size_bytes: self.traffic.count("heartbeat", size_bytes),
            lambda: None if self.hub is None else self.hub.luggage,
        )

    async def to_carry(self) -> bytes | None:
        """A heartbeat for others to bring; None: this node has had a line of its own lately.

        Raises:
            EdgeError: the index or the history cannot be opened.
        """
        from edge_node.bundle.signing import sealed_heartbeat
        from edge_node.health.pulse import last_accepted
        from edge_node.health.schedule import EVERY

        async with self.index() as store:
            accepted = await last_accepted(store)
        if accepted is not None and utc_now() - accepted < 2 * EVERY:
            return None
        return sealed_heartbeat(self._signed(await self.heartbeat()), self.identity().ca_pem)

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
