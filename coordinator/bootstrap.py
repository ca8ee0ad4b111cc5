"""The one place that names concrete classes: opens a coordinator's home and wires its services."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.access.passwords import COST, Cost, Hasher
from coordinator.access.sessions import Sessions
from coordinator.access.tokens import Tokens
from coordinator.access.users import Users
from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.audit.head import HeadFile
from coordinator.audit.log import Trail
from coordinator.config import Config
from coordinator.engine.local import LocalEngine
from coordinator.errors import CoordinatorError
from coordinator.federation.jobs import Jobs as Federations
from coordinator.federation.lines import Lines
from coordinator.federation.runner import FederationRunner
from coordinator.fleet.fleet import Fleet
from coordinator.fleet.intake import HeartbeatIntake
from coordinator.home import Home
from coordinator.intake.datasets import Datasets
from coordinator.jobs.queue import Queue
from coordinator.nodes import authority as nodes_authority
from coordinator.nodes.authority import Authority
from coordinator.nodes.enrolment import Enrolment
from coordinator.releases import keys
from coordinator.releases.lifecycle import Releases
from coordinator.releases.models import Models
from coordinator.releases.repository import Repository
from coordinator.releases.staged import StagedRollouts
from coordinator.releases.watch import RolloutWatch
from coordinator.results.parcels import Parcels
from coordinator.results.store import Results
from coordinator.store.blobs import write_atomically
from coordinator.store.database import Database
from coordinator.uploads.store import Uploads
from coordinator.upstream.service import Upstreams
from coordinator.upstream.store import UpstreamStore
from protocols.clock import Clock
from protocols.trust import Rollout

if TYPE_CHECKING:
    from coordinator.jobs.work import ImportModel
    from coordinator.web.html import Page
    from disease_kb.store import KnowledgeBase


def utc_now() -> datetime:
    """The clock that everything is given."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Coordinator:
    """A coordinator's services."""

    home: Home
    config: Config
    database: Database
    authority: Authority
    enrolment: Enrolment
    models: Models
    releases: Releases
    rollouts: StagedRollouts
    results: Results
    parcels: Parcels
    heartbeats: HeartbeatIntake
    fleet: Fleet
    engine: LocalEngine
    tokens: Tokens
    users: Users
    sessions: Sessions
    uploads: Uploads
    jobs: Queue
    trail: Trail
    upstreams: Upstreams

    def rollout_watch(self) -> RolloutWatch:
        """What moves and stops staged rollouts."""
        return RolloutWatch(self.rollouts.look, self.database, utc_now)

    def federation(self, lines: Lines) -> FederationRunner:
        """What works off federated runs over the nodes' lines."""
        return FederationRunner(lines, self.database, self.home, self.models, self.engine, utc_now, self.config.maps_mb)

    def dashboard(self, knowledge: KnowledgeBase, url: str, clock: Clock = utc_now) -> list[Page]:
        """The pages for people; ``url`` is where others reach us."""
        from coordinator.web.pages import Desk, Drifting, pages

        return pages(
            Desk(
                home=self.home,
                config=self.config,
                database=self.database,
                datasets=Datasets(self.database, self.home, self.engine, self.config.intake),
                models=self.models,
                releases=self.releases,
                rollouts=self.rollouts,
                fleet=self.fleet,
                drifting=Drifting(self.fleet.alarms, clock),
                upstreams=self.upstreams,
                enrolment=self.enrolment,
                tokens=self.tokens,
                users=self.users,
                trail=self.trail,
                uploads=self.uploads,
                jobs=self.jobs,
                federations=Federations(self.database),
                knowledge=knowledge,
                url=url,
                ca_sha256=self.authority.fingerprint,
                clock=clock,
            )
        )


async def initialise(root: Path, config: Config) -> None:
    """Make a new home with keys and an empty database. The settings are written last: without them it does not exist.

    Raises:
        CoordinatorError: ``coordinator.exists``.
    """
    home = Home(root)
    if home.config.exists():
        raise CoordinatorError("coordinator.exists", home=root)
    for remains in (home.keys, home.repository):  # of an init that was interrupted before it wrote the settings
        shutil.rmtree(remains, ignore_errors=True)
    home.audit_head.unlink(missing_ok=True)
    home.base.mkdir(parents=True, exist_ok=True)
    home.keys.mkdir(mode=0o700)
    home.keys.chmod(0o700)
    nodes_authority.create(home, utc_now())
    roots = [keys.create(home.keys / f"root-{n}.pem") for n in range(1, min(config.approvals, 2) + 1)]
    online = keys.create(home.keys / "online.pem")
    local = [keys.create(home.keys / "approver-1.pem").public_key] if config.approvals == 1 else []
    write_atomically(home.keys / "approvers.json", json.dumps({k.keyid: "local" for k in local}).encode())
    empty = Rollout(0, config.name, None, ())
    Repository(home.repository).create(roots, online, list(local), config.approvals, empty, utc_now())
    database = _connect(home, config)
    try:
        await database.create()
        async with database.begin() as connection:
            told = {"approvals": config.approvals}
            await record(connection, current.get(), "coordinator.init", config.name, told, utc_now())
    finally:
        await database.close()
    config.save(home.config)


def _connect(home: Home, config: Config) -> Database:
    database = Database.connect(config.database or f"sqlite+aiosqlite:///{home.database}")
    database.on_recorded = HeadFile(home).advance
    return database


def model_importer() -> ImportModel | None:
    """What vets and imports an uploaded model; None on a system without the sandbox."""
    if sys.platform == "win32":
        return None
    from coordinator.vetting.importing import import_model

    return import_model


@asynccontextmanager
async def open_coordinator(root: Path, cost: Cost = COST) -> AsyncIterator[Coordinator]:
    """Open an existing home; ``cost`` is what a password's hash takes.

    Raises:
        CoordinatorError: ``coordinator.not_initialised`` or ``coordinator.bad_config``.
    """
    home = Home(root)
    config = Config.load(home.config)
    database = _connect(home, config)
    hasher = Hasher(cost)
    try:
        await database.create()
        authority = Authority.load(home)
        models = Models(database, home)
        releases = Releases(database, home, config, models)
        fleet = Fleet(database)
        upstreams = Upstreams(UpstreamStore(database), home, config.upstream, models, releases, utc_now)
        yield Coordinator(
            home=home,
            config=config,
            database=database,
            authority=authority,
            enrolment=Enrolment(database, home, authority, releases.repository),
            models=models,
            releases=releases,
            rollouts=StagedRollouts(database, releases, fleet.standing),
            results=Results(database),
            parcels=Parcels(database, authority),
            heartbeats=HeartbeatIntake(database, authority, utc_now),
            fleet=fleet,
            engine=LocalEngine(),
            tokens=Tokens(database, authority.fingerprint),
            users=Users(database, hasher, config.name),
            sessions=Sessions(database),
            uploads=Uploads(database, home, config.uploads),
            jobs=Queue(database),
            trail=Trail(database),
            upstreams=upstreams,
        )
    finally:
        hasher.close()
        await database.close()
