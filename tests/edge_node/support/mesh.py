"""Several nodes in one process, linked over loopback, with one WAN between them and the coordinator."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from edge_node.cache.artifacts import ArtifactCache
from edge_node.cache.store import CacheStore
from edge_node.errors import UnreachableError
from edge_node.identity import tls
from edge_node.identity.credentials import PendingCredentials
from edge_node.peers.hub import Contexts, Counters, Hub, HubSettings
from edge_node.peers.link import Link
from edge_node.peers.shelf import SharedShelf
from edge_node.transfer.fetcher import ArtifactFetcher
from edge_node.transfer.throttle import Throttle
from protocols.artifacts import Artifact
from protocols.peering import Claim, Get, Have, Message, Want
from tests.edge_node.support.authority import TestAuthority

_BLOCK = 16 * 1024


@dataclass
class Wan:
    """The coordinator at the end of a line that all nodes share."""

    files: dict[str, bytes]
    throttle: Throttle
    sent: int = 0
    is_down: bool = False

    async def read(self, artifact: Artifact, start: int, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        data = self.files[artifact.sha256][start:stop]
        for at in range(0, len(data), _BLOCK):
            if self.is_down:
                raise UnreachableError("edge.coordinator_unreachable", url="wan")
            block = data[at : at + _BLOCK]
            await self.throttle.take(len(block))
            self.sent += len(block)
            yield block


@dataclass
class TestNode:
    """A node: its cache and its peers."""

    __test__ = False

    cache: ArtifactCache
    hub: Hub
    fetcher: ArtifactFetcher
    received: list[int] = field(default_factory=list)


async def _nobody() -> frozenset[str]:
    return frozenset()


def contexts(authority: TestAuthority, folder: Path, name: str) -> Contexts:
    """TLS of a node enrolled with ``authority``."""
    folder.mkdir(parents=True, exist_ok=True)
    pending = PendingCredentials(name, ec.generate_private_key(ec.SECP256R1()))
    path = folder / "node.pem"
    path.write_bytes(pending.completed(authority.sign_request(pending.csr_pem, node=name), authority.pem))
    return Contexts(
        tls.for_peers(authority.pem, path, ssl.PROTOCOL_TLS_SERVER),
        tls.for_peers(authority.pem, path, ssl.PROTOCOL_TLS_CLIENT),
        tls.node_name,
        _nobody,
    )


@asynccontextmanager
async def node(
    authority: TestAuthority,
    folder: Path,
    wan: Wan,
    *,
    kind: type[Hub] = Hub,
    gives: bool = True,
    lan_kbps: float = 0.0,
) -> AsyncIterator[TestNode]:
    """A running node that knows nobody yet."""
    async with CacheStore.open(folder / "index.sqlite") as store:
        cache = ArtifactCache(folder, store)
        received: list[int] = []
        hub = kind(
            contexts(authority, folder, folder.name),
            SharedShelf(folder / "artifacts"),
            Throttle(lan_kbps),
            Counters(received.append, lambda _: None),
            HubSettings(gives=gives, host="127.0.0.1"),
        )

        async def mesh() -> Hub:
            return hub

        async with hub.running():
            yield TestNode(cache, hub, ArtifactFetcher(cache, [wan], mesh=mesh), received)


def introduce(nodes: Iterable[TestNode]) -> None:
    """Tell each node where the others are."""
    everybody = list(nodes)
    for one in everybody:
        for other in everybody:
            if one is not other and other.hub.port is not None:
                one.hub.hint("127.0.0.1", other.hub.port)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for what the hub has no event for."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def linked(nodes: Iterable[TestNode], count: int) -> None:
    """Wait until each node has so many links."""
    for one in nodes:
        await until(lambda one=one: len(one.hub.peers) >= count)  # type: ignore[misc]


class Corrupting(Hub):
    """Sends other bytes than those asked for."""

    def chunk(self, artifact: str, index: int) -> bytes | None:
        data = super().chunk(artifact, index)
        return data and bytes([data[0] ^ 1]) + data[1:]


class Silent(Hub):
    """Says what it has, and claims, but never answers."""

    def heard(self, link: Link, message: Message) -> None:
        if not isinstance(message, Get):
            super().heard(link, message)


class Short(Hub):
    """Sends a part of each chunk."""

    def chunk(self, artifact: str, index: int) -> bytes | None:
        data = super().chunk(artifact, index)
        return data and data[: len(data) // 2]


class Endless(Hub):
    """Sends more than a frame may hold."""

    def chunk(self, artifact: str, index: int) -> bytes | None:
        data = super().chunk(artifact, index)
        return data and data * 8


class Lacking(Hub):
    """Says what it has, and then that it has not got it."""

    def chunk(self, artifact: str, index: int) -> bytes | None:
        return None


class Boasting(Hub):
    """Says that it has everything and is fetching everything; and answers nothing."""

    def heard(self, link: Link, message: Message) -> None:
        if isinstance(message, Want):
            link.say(message)
            link.say(Have(message.artifact, -1))
            for index in range(200):
                link.say(Claim(message.artifact, index, 1))


@asynccontextmanager
async def mesh(
    authority: TestAuthority, folder: Path, wan: Wan, count: int, bad: Sequence[type[Hub]] = ()
) -> AsyncIterator[list[TestNode]]:
    """Nodes that are all linked to each other, the first of them bad ones."""
    kinds = [*bad, *[Hub] * (count - len(bad))]
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(node(authority, folder / f"n{n}", wan, kind=kind))
            for n, kind in enumerate(kinds)
        ]
        introduce(nodes)
        await linked(nodes, count - 1)
        yield nodes
