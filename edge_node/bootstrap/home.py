"""What every command has: paths, settings, identity, the index, and the count of bytes."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_node.bootstrap.parts import utc_now
from edge_node.config import EdgeConfig, read_config
from edge_node.errors import NotEnrolledError
from edge_node.identity.identity import NodeIdentity, load_identity
from edge_node.paths import Paths
from edge_node.transfer.bill import SharedBill
from edge_node.transfer.ledger import Ledger
from edge_node.transfer.throttle import Throttle, Throttles
from edge_node.transfer.traffic import Traffic

if TYPE_CHECKING:
    from edge_node.cache.store import CacheStore
    from edge_node.peers.hub import Hub
    from edge_node.transfer.limits import Limits


class Home:
    """What every command has: paths, settings, identity, the index, and the count of bytes."""

    def __init__(self, home: Path) -> None:
        """Args: home: the MedMesh home; nothing is written to it yet."""
        self.paths = Paths.of_home(home)
        self.config = self._read_config()
        self.traffic = Traffic()
        self.hub: Hub | None = None  # while the agent runs
        self.throttles = Throttles(
            self._throttle(self.config.wan_kbps, self.paths.wan_bill),
            self._throttle(self.config.lan_kbps, self.paths.lan_bill),
        )
        self.ledger = Ledger(self.traffic, self.index, utc_now)

    @staticmethod
    def _throttle(kbps: float, bill: Path) -> Throttle:
        """A cap that ``serve`` and a command beside it keep between them."""
        return Throttle(kbps, bill=SharedBill(bill, time.monotonic))

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

    def _limits(self) -> Limits:
        from edge_node.transfer.limits import Limits

        return Limits.of(self._read_config())

    def _coordinator(self) -> str | None:
        try:
            return self.identity().ca_sha256
        except NotEnrolledError:
            return None

    def _node_url(self) -> str | None:
        try:
            return self.identity().node_url
        except NotEnrolledError:
            return None
