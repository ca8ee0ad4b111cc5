"""A coordinator whose API answers in this process, and an uploader that speaks with it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config as HttpConfig
from starlette.applications import Starlette
from starlette.types import ASGIApp

from coordinator.access.passwords import Cost
from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.config import Config, UploadLimits, WebLimits
from coordinator.store.blobs import FolderBlobs
from coordinator.uploads.store import Uploads
from coordinator.web import health
from coordinator.web.app import Services, make_app
from coordinator.web.html import Page
from coordinator.web.lines import forgiving, ignore_broken
from coordinator.web.observing import Meters, Observed
from coordinator.web.operations import Operation
from coordinator.web.server import Access
from coordinator.web.uploads import operations
from disease_kb.seeding import open_or_build
from protocols.access import RIGHTS, Principal

Result = TypeVar("Result")
PART = 64 * 1024
LIMITS = UploadLimits(spare_bytes=0)
UNLIMITED = WebLimits(address_per_s=0, principal_per_s=0)  # the clock stands still
CHEAP = Cost(passes=1, memory_kib=8, lanes=1)


@dataclass
class Clock:
    """Says what it is told."""

    now: datetime = field(default_factory=lambda: datetime(2026, 2, 1, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Office:
    """An open coordinator and its API."""

    coordinator: Coordinator
    app: Starlette
    rows: list[Operation]
    pages: list[Page]
    clock: Clock
    meters: Meters

    async def token(self, *scopes: str, owner: str = "north") -> str:
        made = await self.coordinator.tokens.create(owner, scopes, timedelta(days=90), self.clock())
        return str(made["token"])

    def uploader(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(Observed(self.app, self.app.routes, self.meters), client=("192.0.2.1", 1))
        return httpx.AsyncClient(transport=transport, base_url="https://n", headers=headers)


_made: list[tempfile.TemporaryDirectory[str]] = []


async def _template() -> Path:
    """A fresh home with a knowledge base, made once a process: building the latter takes longer than most tests."""
    if not _made:
        _made.append(tempfile.TemporaryDirectory())
        home = Path(_made[0].name) / "home"
        await initialise(home, Config("Test", 1))
        async with await open_or_build(home):
            pass
    return Path(_made[0].name) / "home"


@asynccontextmanager
async def office(home: Path, limits: UploadLimits = LIMITS, web: WebLimits = UNLIMITED) -> AsyncIterator[Office]:
    """Make or open a coordinator; its clock stands still."""
    clock = Clock()
    if not (home / "coordinator").exists():
        shutil.copytree(await _template(), home, dirs_exist_ok=True)
    async with open_coordinator(home, CHEAP) as opened, await open_or_build(home) as knowledge:
        coordinator = replace(opened, uploads=Uploads(opened.database, opened.home, limits))
        more = operations(coordinator.uploads, coordinator.jobs, coordinator.database, limits.owner_jobs, clock)

        async def store(node: str, reports: object) -> None:
            raise AssertionError("no node speaks here")

        access = Access(coordinator.tokens, coordinator.users, coordinator.sessions, web)
        gate = access.gate(clock, None)
        meters = Meters()
        repository = coordinator.releases.repository
        well = health.Health(coordinator.home, coordinator.database, repository, lambda: 3, meters, clock)
        services = Services(
            name="Test",
            node_url="wss://n",
            authority=coordinator.authority,
            enrolment=coordinator.enrolment,
            releases=coordinator.releases,
            artifacts=FolderBlobs(coordinator.home.artifacts),
            knowledge=knowledge,
            parcels=coordinator.parcels,
            store_reports=store,
            clock=clock,
            gate=gate,
            more=[*more, *health.operations(well)],
            pages=[*access.pages(gate, clock), *coordinator.dashboard(knowledge, "https://n", clock)],
        )
        app = make_app(services)
        yield Office(coordinator, app, app.state.operations, app.state.pages, clock, meters)


def declaration(data: bytes, **dataset: Any) -> dict[str, Any]:
    return {
        "kind": "dataset",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "part_bytes": PART,
        "dataset": {"disease": "malaria", "name": "malaria", **dataset},
    }


def grant(owner: str = "north", rights: Iterable[str] = RIGHTS) -> Principal:
    return Principal(owner, "token", frozenset(rights), "token")


def digest(part: bytes) -> dict[str, str]:
    told = base64.b64encode(hashlib.sha256(part).digest()).decode()
    return {"Content-Digest": f"sha-256=:{told}:", "Content-Type": "application/octet-stream"}


async def put(client: httpx.AsyncClient, upload: str, number: int, part: bytes, **more: str) -> httpx.Response:
    path = f"/v1/uploads/{upload}/parts/{number}"
    return await client.put(path, content=part, headers={**digest(part), **more})


class Serving:
    """The API on loopback, in a thread with a loop of its own."""

    def __init__(
        self,
        home: Path,
        limits: UploadLimits = LIMITS,
        tls: bool = True,
        around: Callable[[ASGIApp], ASGIApp] = forgiving,
    ) -> None:
        self._arguments = home, limits, tls
        self._around = around
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Serving:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def run(self, what: Coroutine[Any, Any, Result]) -> Result:
        """Do something on the server's side."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(20)

    async def _serve(self) -> None:
        home, limits, tls = self._arguments
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        async with office(home, limits) as self.office:
            config = HttpConfig()
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
            config.bind = [f"fd://{listener.detach()}"]
            config.loglevel, config.graceful_timeout = "ERROR", 0.5
            if tls:
                paths = self.office.coordinator.authority.issue_server(["127.0.0.1"], datetime.now(UTC))
                config.certfile, config.keyfile = map(str, paths)
            self._loop.call_later(0.2, self._started.set)
            ignore_broken(self._loop)
            with suppress(OSError):  # as coordinator.web.server does
                await serve(self._around(self.office.app), config, shutdown_trigger=self._stop.wait)  # type: ignore[arg-type]
