"""A coordinator with approved releases and without images: the store, the keys and the signed list are real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.config import Config
from coordinator.releases.evidence import witnesses
from coordinator.releases.staged import StagedRollouts
from coordinator.store.blobs import FolderBlobs
from coordinator.store.tables import nodes, releases
from tests.support.manifests import example
from tests.support.rollout_simulation import Row

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Desk:
    """A release manager's view.

    Attributes:
        said: what the nodes say of a release; a test fills it.
    """

    coordinator: Coordinator
    said: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def rollouts(self) -> StagedRollouts:
        """What decides, fed by ``said``."""
        return StagedRollouts(self.coordinator.database, self.coordinator.releases, self.standing)

    async def standing(self, release: str) -> list[Row]:
        return self.said.get(release, [])

    async def approved(self, name: str) -> None:
        """A release that people have signed."""
        model, version = name.split("@")
        content = example(model, int(version)).to_bytes()
        async with self.coordinator.database.begin() as connection:
            await connection.execute(
                releases.insert().values(
                    name=name,
                    disease="malaria",
                    manifest=FolderBlobs(self.coordinator.home.artifacts).put(content),
                    state="proposed",
                    groups=[],
                    gates=[],
                    created=NOW.isoformat(),
                )
            )
        await self.coordinator.releases.approve(name, None, NOW)

    def offered(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """What the signed list offers."""
        document = self.coordinator.releases.repository.rollout()
        return {offer.release: (offer.percent, offer.groups) for model in document.models for offer in model.offers}

    def is_paused(self) -> bool:
        """Whether the signed list stops the model."""
        return self.coordinator.releases.repository.rollout().models[0].paused


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    """A new coordinator with a node of the group ``canary``, and malaria@1 with everybody."""
    await initialise(folder, Config("Test", 1))
    async with open_coordinator(folder) as coordinator:
        async with coordinator.database.begin() as connection:
            row = {"certificate_sha256": "", "public_key": "", "enrolled": NOW.isoformat(), "groups": ["canary"]}
            await connection.execute(nodes.insert().values(id="0" * 16, name="first", **row))
        made = Desk(coordinator)
        await made.approved("malaria@1")
        await coordinator.releases.rollout("malaria@1", 100, (), NOW)
        await made.approved("malaria@2")
        yield made


async def standing(home: Path, release: str) -> dict[str, str]:
    """Site → how it stands with a release, as its last heartbeat told a coordinator that runs."""
    async with open_coordinator(home) as coordinator:
        rows = await coordinator.fleet.standing(release)
    return {w.site: w.state for w in witnesses(release, 100, (), NOW, rows, {})}


async def invited(home: Path, groups: dict[str, tuple[str, ...]]) -> list[str]:
    """An invite for each site of a coordinator that runs, with its groups."""
    async with open_coordinator(home) as coordinator:
        made = [
            await coordinator.enrolment.invite(site, names, None, datetime.now(UTC)) for site, names in groups.items()
        ]
    return [str(invite["invite"]) for invite in made]
