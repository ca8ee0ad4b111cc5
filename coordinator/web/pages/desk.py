"""What the pages read and do."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.access.tokens import Tokens
from coordinator.access.users import Users
from coordinator.audit.log import Trail
from coordinator.config import Config
from coordinator.federation.jobs import Jobs as Federations
from coordinator.fleet.fleet import Fleet
from coordinator.home import Home
from coordinator.intake.datasets import Datasets
from coordinator.jobs.queue import Queue
from coordinator.nodes.enrolment import Enrolment
from coordinator.releases.lifecycle import Releases
from coordinator.releases.models import Models
from coordinator.releases.staged import StagedRollouts
from coordinator.store.database import Database
from coordinator.uploads.store import Uploads
from coordinator.upstream.service import Upstreams
from coordinator.web.pages.drifting import Drifting
from disease_kb.store import KnowledgeBase
from protocols.clock import Clock


@dataclass(frozen=True)
class Desk:
    """The coordinator's services, as far as people reach them with a browser."""

    home: Home
    config: Config
    database: Database
    datasets: Datasets
    models: Models
    releases: Releases
    rollouts: StagedRollouts
    fleet: Fleet
    drifting: Drifting
    upstreams: Upstreams
    enrolment: Enrolment
    tokens: Tokens
    users: Users
    trail: Trail
    uploads: Uploads
    jobs: Queue
    federations: Federations
    knowledge: KnowledgeBase
    url: str  # under which others reach us
    ca_sha256: str
    clock: Clock
