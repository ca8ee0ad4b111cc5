"""Running HTTPS, the node gateway and the announcement until the process is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hypercorn.asyncio import serve as serve_http
from hypercorn.config import Config as HttpConfig
from zeroconf import Error as ZeroconfError

from coordinator.access.sessions import Sessions
from coordinator.access.tokens import Tokens
from coordinator.access.users import Users
from coordinator.config import UploadLimits, WebLimits
from coordinator.errors import CoordinatorError
from coordinator.federation.lines import Lines
from coordinator.federation.runner import FederationRunner
from coordinator.fleet.intake import HeartbeatIntake
from coordinator.home import Home
from coordinator.jobs.queue import Queue
from coordinator.jobs.runner import Runner, command
from coordinator.nodes.announce import announced
from coordinator.nodes.authority import Authority
from coordinator.nodes.enrolment import Enrolment
from coordinator.nodes.gateway import Gateway
from coordinator.releases.lifecycle import Releases
from coordinator.releases.watch import RolloutWatch
from coordinator.results.parcels import Parcels
from coordinator.results.store import Results
from coordinator.results.writer import ResultWriter
from coordinator.store.blobs import FolderBlobs, write_atomically
from coordinator.store.database import Database
from coordinator.uploads.store import Uploads
from coordinator.web import health
from coordinator.web.app import Services, make_app
from coordinator.web.gate import Gate
from coordinator.web.html import Page
from coordinator.web.lines import forgiving, ignore_broken
from coordinator.web.observing import Meters, Observed
from coordinator.web.operations import Operation
from coordinator.web.sign_in import pages
from coordinator.web.uploads import operations
from disease_kb.seeding import open_or_build
from disease_kb.store import KnowledgeBase
from protocols.clock import Clock

_log = logging.getLogger("medmesh.server")
_HEADER_TIMEOUT_S = 20
_GRACE_S = 2
_HOUR_S = 3600.0
_BACKLOG = 100


@dataclass(frozen=True)
class Listening:
    """Where to listen, and under which address others reach us."""

    host: str
    port: int
    node_port: int
    public_url: str | None
    zeroconf: bool


@dataclass(frozen=True)
class Access:
    """Who may come in over HTTPS."""

    tokens: Tokens
    users: Users
    sessions: Sessions
    limits: WebLimits

    def gate(self, clock: Clock, public_url: str | None) -> Gate:
        """What stands before the rows."""
        return Gate(
            lambda credential, address: self.tokens.check(credential, address, clock()),
            lambda secret, used: self.sessions.find(secret, clock(), used=used),
            self.limits,
            clock,
            frozenset({origin(public_url)} if public_url else ()),
        )

    def pages(self, gate: Gate, clock: Clock) -> list[Page]:
        """Where people sign in."""
        return pages(self.users, self.sessions, gate, clock)


@dataclass(frozen=True)
class Intake:
    """What comes in over the network, and the jobs that it starts."""

    uploads: Uploads
    jobs: Queue
    database: Database
    limits: UploadLimits

    def rows(self, clock: Clock) -> list[Operation]:
        """The API's rows for it."""
        return operations(self.uploads, self.jobs, self.database, self.limits.owner_jobs, clock)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that a busy port is a clear sentence before anything starts."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # whoever comes between ``ready`` and the server's first turn waits
    except OSError as error:
        listener.close()
        raise CoordinatorError("coordinator.port_in_use", host=host, port=port) from error
    listener.setblocking(False)
    return listener


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or "localhost"


def origin(url: str) -> str:
    """The origin that browsers tell for pages at this address."""
    parts = urllib.parse.urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc.removesuffix(':443')}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def serve(
    home: Home,
    name: str,
    releases: Releases,
    authority: Authority,
    enrolment: Enrolment,
    results: Results,
    parcels: Parcels,
    access: Access,
    heartbeats: HeartbeatIntake,
    intake: Intake,
    federation: Callable[[Lines], FederationRunner],
    dashboard: Callable[[KnowledgeBase, str], list[Page]],
    rollouts: RolloutWatch,
    listening: Listening,
    clock: Clock,
    ready: Callable[[dict[str, str]], None],
) -> None:
    """Serve until SIGTERM or SIGINT; calls ``ready`` with the addresses once both ports answer.

    Raises:
        CoordinatorError: ``coordinator.port_in_use``.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener = bind(listening.host, listening.port)
    port = listener.getsockname()[1]
    shown = "127.0.0.1" if listening.host in ("0.0.0.0", "::") else listening.host
    hosts = [shown, socket.gethostname()]
    if listening.public_url:
        hosts.append(_host(listening.public_url))
    certificate, key = authority.issue_server(hosts, clock())

    writer = ResultWriter(results, clock)
    lines = Lines()

    async def heard(sender: str, frame: bytes) -> None:
        await heartbeats.take(sender, frame)
        rollouts.hear()

    gateway = Gateway(
        lambda digest: enrolment.node_of(digest, clock()),
        enrolment.revoked,
        releases.serial,
        writer.store,
        lines,
        heard,
    )
    context = authority.gateway_context(certificate, key)
    async with contextlib.AsyncExitStack() as stack:
        knowledge = await stack.enter_async_context(await open_or_build(home.root))
        await stack.enter_async_context(writer.running())
        await stack.enter_async_context(heartbeats.running())
        try:
            server = await stack.enter_async_context(gateway.listen(listening.host, listening.node_port, context))
        except OSError as error:
            listener.close()
            raise CoordinatorError("coordinator.port_in_use", host=listening.host, port=listening.node_port) from error
        await stack.enter_async_context(federation(lines).running())  # ends before the lines do
        await stack.enter_async_context(rollouts.running())
        node_port = server.sockets[0].getsockname()[1]
        url = (listening.public_url or f"https://{_bracketed(shown)}:{port}").rstrip("/")
        node_url = f"wss://{_bracketed(_host(url))}:{node_port}"
        gate = access.gate(clock, listening.public_url)
        meters = Meters()
        well = health.Health(home, intake.database, releases.repository, lambda: gateway.links, meters, clock)
        services = Services(
            name=name,
            node_url=node_url,
            authority=authority,
            enrolment=enrolment,
            releases=releases,
            artifacts=FolderBlobs(home.artifacts),
            knowledge=knowledge,
            parcels=parcels,
            store_reports=writer.store,
            clock=clock,
            gate=gate,
            more=[*intake.rows(clock), *health.operations(well)],
            pages=[*access.pages(gate, clock), *dashboard(knowledge, url)],
        )
        ignore_broken(loop)
        starlette = make_app(services)
        app = forgiving(Observed(starlette, starlette.routes, meters))
        config = _http_config(listener, certificate, key)
        # Starlette types its application more loosely than the server does.
        http = asyncio.create_task(serve_http(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
        addresses = {"url": url, "node_url": node_url}
        write_atomically(home.serving, json.dumps(addresses).encode())
        runner = Runner(
            intake.jobs, intake.uploads.sweep, intake.limits, clock, lambda job, run: command(home.root, job, run)
        )
        jobs = asyncio.create_task(runner.run(stop))
        ready(addresses)
        if listening.zeroconf:  # claiming a name takes a second; nobody needs to wait for it
            try:
                await stack.enter_async_context(announced(listening.host, port, node_port, authority.fingerprint))
            except (OSError, ZeroconfError):
                _log.warning("this network does not let us announce ourselves; nodes need an invite or address")
        await _until(stop, lambda: releases.keep_fresh(clock()))
        # An idle connection that a client keeps open must not keep us: the server's own grace does not end those.
        await asyncio.wait({http}, timeout=_GRACE_S)
        await jobs
        http.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):  # of a connection that broke at the last moment
            await http


async def _until(stop: asyncio.Event, hourly: Callable[[], Awaitable[None]]) -> None:
    """Wait for ``stop``, doing what must be done every hour: an unrenewed timestamp would make nodes call us stale."""
    while not stop.is_set():
        try:
            await hourly()
        except OSError:
            _log.exception("renewing the timestamp failed; trying again in an hour")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _HOUR_S)


def _http_config(listener: socket.socket, certificate: object, key: object) -> HttpConfig:
    config = HttpConfig()
    config.bind = [f"fd://{listener.detach()}"]
    config.certfile, config.keyfile = str(certificate), str(key)
    config.keep_alive_timeout = _HEADER_TIMEOUT_S  # also ends connections that never finish their headers
    config.read_timeout = _HEADER_TIMEOUT_S
    config.graceful_timeout = _GRACE_S
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.loglevel = "WARNING"
    config.accesslog = None
    return config
