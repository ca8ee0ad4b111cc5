"""A node whose wires are fakes: the real store, cache, fetcher, installer and puller around them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.acceptance.gate import Acceptance
from edge_node.acceptance.judge import Judge, NoJudge
from edge_node.activation.installer import Installer
from edge_node.activation.pull import Puller
from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.evictor import Evictor
from edge_node.cache.lock import exclusive
from edge_node.cache.store import CacheStore
from edge_node.errors import AbsentError, LimitError, UnreachableError
from edge_node.identity.anchor import Anchor
from edge_node.knowledge.replica import ReplicaUpdater
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.transfer.source import Source
from edge_node.trust.feed import CatalogueFeed
from edge_node.trust.standing import Standing, standing
from protocols.clock import Clock
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Tensors
from protocols.selftest import golden_scores
from tests.edge_node.support.releases import Simulator
from tests.edge_node.support.sources import SimulatedSource

NODE = "0123456789abcdef"
COORDINATOR = "a" * 64
_BLOCK = 1000


def now() -> datetime:
    """The machine's clock, which a test may turn."""
    return datetime.now(UTC)


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

    def residuals(self, *_: Any) -> None:
        """These releases have no statistics."""

    def golden_scores(self, manifest: ReleaseManifest, strip: Path) -> NDArray[np.float64]:
        return golden_scores(manifest, strip.read_bytes(), self)


Attack = Callable[[str, bytes | None], bytes | None]


class SimulatedOrigin:
    """The simulator's signed repository; ``gone`` is a coordinator that does not answer, ``attack`` one on the way."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.gone = False
        self.attack: Attack = lambda _, data: data
        self.sent = 0
        self.asked: list[str] = []

    async def published(self, path: str) -> AsyncGenerator[bytes, None]:
        self.asked.append(path)
        if self.gone:
            raise UnreachableError("edge.coordinator_unreachable", url="memory")
        data = self.attack(path, self.simulator.published(path))
        if data is None:
            raise AbsentError("edge.metadata_missing", path=path)
        for start in range(0, len(data), _BLOCK):
            self.sent += len(data[start : start + _BLOCK])
            yield data[start : start + _BLOCK]


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
    anchor: Anchor

    async def active(self) -> list[str]:
        return [r.name for r in await self.store.installed() if r.active]

    async def pull(self, disease: str = "malaria", model: str | None = None) -> bool:
        """Refresh and pull; whether it was cached."""
        snapshot = await self.feed.refresh()
        release = self.puller.choose(snapshot, disease, model)
        return (await self.puller.pull(snapshot, release, lambda _: None)).already_cached

    async def sync(self) -> list[str]:
        """Refresh and switch; what was switched to."""
        return [r.name for r in await self.puller.update_installed(await self.feed.refresh())]

    async def standing(self) -> Standing:
        return standing(self.anchor, await self.store.trust(self.anchor.coordinator), now())


async def no_sleep(_: float) -> None:
    """A pause that takes no time."""


@dataclass
class SimulatedLimits:
    """A quota and what is left of the month's budget; 0 and None: none."""

    quota_bytes: int = 0
    left_bytes: int | None = None

    def waive(self) -> None:
        self.left_bytes = None

    async def require(self, wanted_bytes: int) -> None:
        if self.left_bytes is not None and wanted_bytes > self.left_bytes:
            raise LimitError("edge.budget_used", month="2026-02", used_mb=0, wanted_mb=0, budget_mb=0)


@asynccontextmanager
async def running(
    simulator: Simulator,
    root: Path,
    sources: Callable[[SimulatedSource], list[Source]] = lambda s: [s],
    limits: SimulatedLimits | None = None,
    judge: Judge | None = None,
    clock: Clock = now,
    **anchored: Any,
) -> AsyncIterator[Node]:
    """``anchored`` changes what the node was told when it joined."""
    anchor = replace(Anchor(COORDINATOR, now() - timedelta(days=1), 0, NODE, frozenset()), **anchored)
    limits = limits or SimulatedLimits()
    async with CacheStore.open(root / "cache" / "index.sqlite") as store:
        cache = ArtifactCache(root / "cache", store)
        source, origin, runner = SimulatedSource(simulator.artifact), SimulatedOrigin(simulator), ColourRunner()
        fetcher = ArtifactFetcher(cache, sources(source), no_sleep)
        acceptance = Acceptance(store, cache, judge or NoJudge(), anchor.coordinator, clock)
        installer = Installer(store, cache, fetcher, runner, "0.1.0", anchor.coordinator, now, acceptance)
        replica = ReplicaUpdater(root / "kb.sqlite", store, cache, fetcher)
        feed = CatalogueFeed(
            [origin],
            root / "trust",
            simulator.repository.first_root,
            anchor,
            store,
            cache,
            lambda: exclusive(root / "trust.lock"),
            now,
        )
        evictor = Evictor(store, cache, replica.base, lambda: limits.quota_bytes)
        puller = Puller(
            feed,
            store,
            cache,
            installer,
            replica,
            evictor,
            lambda: exclusive(root / "lock"),
            now,
            limits,
        )
        yield Node(
            simulator, origin, source, store, cache, fetcher, installer, feed, puller, replica, runner, root, anchor
        )
