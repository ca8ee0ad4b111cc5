"""What the wiring passes on: the present, the open cache, and what fetches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_node.activation.pull import Puller
    from edge_node.cache.artifacts import ArtifactCache
    from edge_node.cache.store import CacheStore
    from edge_node.transfer.fetcher import ArtifactFetcher
    from edge_node.trust.feed import CatalogueFeed
    from edge_node.worker.models import Models


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
