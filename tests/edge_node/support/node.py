"""A node whose wires are fakes: the real store, cache, fetcher, installer and puller around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_node.activation.installer import Installer
from edge_node.activation.pull import Puller
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.lock import exclusive
from edge_node.cache.store import CacheStore
from edge_node.errors import UnreachableError
from edge_node.knowledge.replica import ReplicaUpdater
from edge_node.transfer.catalogue import Catalogue, CatalogueRelease
from edge_node.transfer.feed import CatalogueCache, CatalogueFeed
from edge_node.transfer.fetcher import ArtifactFetcher, Source
from protocols.artifacts import canonical_json
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Tensors
from tests.edge_node.support.releases import Simulator
from tests.edge_node.support.sources import SimulatedSource

NOW = datetime(2026, 2, 1, 8, 30, tzinfo=UTC)


class ColourRunner:
    """Does by arithmetic what the two tiny stages do; ``bias`` makes it a machine that computes wrongly."""

    def __init__(self, bias: float = 0.0) -> None:
        self.bias = bias
        self.calls = 0

    def logits(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> NDArray[np.float32]:
        self.calls += 1
        red, _, blue = pixels[0].mean(axis=(0, 1))
        return np.array([4 * (red - blue) + self.bias, 4 * (blue - red)], dtype=np.float32)


class SimulatedOrigin:
    """The simulator's catalogue; ``gone`` is a coordinator that does not answer."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.gone = False

    async def catalogue(self) -> bytes:
        if self.gone:
            raise UnreachableError("edge.coordinator_unreachable", url="memory")
        return canonical_json(self.simulator.catalogue())


@dataclass
class Node:
    """Everything a test may want to look at or to break."""

    simulator: Simulator
    origin: SimulatedOrigin
    source: SimulatedSource
    store: CacheStore
    cache: ArtifactCache
    fetcher: ArtifactFetcher
    installer: Installer
    feed: CatalogueFeed
    puller: Puller
    replica: ReplicaUpdater
    runner: ColourRunner
    root: Path

    def listed(self, name: str) -> CatalogueRelease:
        releases = Catalogue.from_bytes(canonical_json(self.simulator.catalogue())).releases
        return next(r for r in releases if r.name == name)

    async def active(self) -> list[str]:
        return [r.name for r in await self.store.installed() if r.active]


async def no_sleep(_: float) -> None:
    """A pause that takes no time."""


@asynccontextmanager
async def running(
    simulator: Simulator, root: Path, sources: Callable[[SimulatedSource], list[Source]] = lambda s: [s]
) -> AsyncIterator[Node]:
    async with CacheStore.open(root / "cache" / "index.sqlite") as store:
        cache = ArtifactCache(root / "cache", store)
        source, origin, runner = SimulatedSource(simulator.artifact), SimulatedOrigin(simulator), ColourRunner()
        fetcher = ArtifactFetcher(cache, sources(source), no_sleep)
        installer = Installer(store, cache, fetcher, lambda _: runner, "0.1.0", lambda: NOW)
        replica = ReplicaUpdater(root / "kb.sqlite", store, cache, fetcher)
        feed = CatalogueFeed([origin], CatalogueCache(root / "catalogue.json", "a" * 64), lambda: NOW)
        puller = Puller(feed, store, cache, installer, replica, lambda: exclusive(root / "lock"))
        yield Node(simulator, origin, source, store, cache, fetcher, installer, feed, puller, replica, runner, root)
