"""The peers that this node is linked to: it listens, dials what was hinted at, and passes on what is said."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from edge_node.errors import EdgeError
from edge_node.peers.link import GREETING_S, Line, Link, greet
from edge_node.peers.luggage import Luggage
from edge_node.peers.shelf import SharedShelf
from edge_node.transfer.swarm import Follower
from protocols.errors import ProtocolError
from protocols.messages import PING_INTERVAL_S
from protocols.peering import MAX_FRAME_BYTES, Carry, Distrust, Done, Get, Greeting, Have, Message, Want

MOST_LINKS = 32
MOST_ADDRESSES = 64
_MOST_LINKS_OF_A_NODE = 4  # the agent, a pull beside it, and what has not noticed yet that it is dead
_MOST_WANTS = 64
_DIALS_AT_ONCE = 8
_RETRY_S = (2.0, 10.0, 60.0, 300.0)
_LOOK_S = 10.0  # how long a link to a node outlives the list that puts that node out

_CARRY_EVERY_S = 3600.0

Address = tuple[str, int]


async def _nothing() -> bytes | None:
    return None


@dataclass
class Counters:
    """Chunk bytes that came and went."""

    received: Callable[[int], None]
    sent: Callable[[int], None]


@dataclass
class _Candidate:
    """An address that somebody hinted at."""

    failures: int = 0
    not_before: float = 0.0
    instance: str | None = None
    is_fixed: bool = False


@dataclass(frozen=True)
class HubSettings:
    """How the hub behaves.

    Attributes:
        gives: this node gives others what it holds.
        host: on which address to listen.
        port: 0: any.
        fixed: addresses that the user set.
        answer_s: how long a peer may take for a chunk.
    """

    gives: bool = True
    host: str = "0.0.0.0"
    port: int = 0
    fixed: tuple[Address, ...] = ()
    answer_s: float = 3.0


@dataclass
class Contexts:
    """Who may be a peer: nodes of the pinned coordinator that it has not put out.

    Attributes:
        server: TLS where this node is called.
        client: TLS where this node calls.
        node_of: who is at the other end; None: nobody with one name.
        revoked: the nodes that the newest verified list puts out; asked for each new link and now and then.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext
    node_of: Callable[[ssl.SSLObject], str | None]
    revoked: Callable[[], Awaitable[Collection[str]]]


class Hub:
    """Keeps at most one link to each peer. Everything heard is a hint; chunks are checked by whoever asked for them."""

    def __init__(
        self, contexts: Contexts, shelf: SharedShelf, lan: Line, counters: Counters, settings: HubSettings
    ) -> None:
        self.instance = secrets.token_hex(8)
        self.answer_s = settings.answer_s
        self.port: int | None = None
        self.luggage = Luggage()
        self.to_carry: Callable[[], Awaitable[bytes | None]] = _nothing
        self.on_outcome: Callable[[Address, bool], None] = lambda address, good: None
        self._contexts = contexts
        self._shelf = shelf
        self._lan = lan
        self._counters = counters
        self._settings = settings
        self._links: dict[str, Link] = {}
        self._followers: dict[str, Follower] = {}
        self._candidates: dict[Address, _Candidate] = {a: _Candidate(is_fixed=True) for a in settings.fixed}
        self._expelled: set[str] = set()
        self._distrusted_by: set[str] = set()
        self._dials: dict[Address, asyncio.Task[None]] = {}
        self._hinted = asyncio.Event()
        self._served_at = 0.0
        self._asked_to_carry = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Hub]:
        """Listen and dial until the block is left."""
        async with self._listening():
            chores = [asyncio.create_task(self._dial_on()), asyncio.create_task(self._look_on())]
            try:
                yield self
            finally:
                tasks = [*chores, *self._dials.values()]
                for task in tasks:
                    task.cancel()
                for link in list(self._links.values()):
                    link.cut()
                await asyncio.wait(tasks)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        if not self._settings.gives:
            yield
            return
        async with serve(
            self._accepted, self._settings.host, self._settings.port, ssl=self._contexts.server, **_OPTIONS
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield

    def hint(self, host: str, port: int) -> None:
        """Somebody says that a peer is there."""
        if (host, port) not in self._candidates:
            if len(self._candidates) >= MOST_ADDRESSES and not self._forget_one():
                return
            self._candidates[host, port] = _Candidate()
            self._hinted.set()

    def _forget_one(self) -> bool:
        """Make room: an address that never answered gives way."""
        useless = [a for a, c in self._candidates.items() if c.failures and c.instance is None and not c.is_fixed]
        for address in useless[:1]:
            del self._candidates[address]
        return bool(useless)

    @property
    def peers(self) -> list[str]:
        """The instances that this node is linked to."""
        return [link.instance for link in self._links.values() if self._is_useful(link)]

    async def linger(self, most_s: float, quiet_s: float = 2.0) -> None:
        """Stay while peers are still fetching from this node."""
        end = time.monotonic() + most_s
        while time.monotonic() < end and any(link.wants for link in self._links.values()):
            if time.monotonic() - self._served_at > quiet_s:
                return
            await asyncio.sleep(0.1)

    # --- the mesh that a swarm sees -----------------------------------------------------------------------------------

    @contextmanager
    def follow(self, artifact: str, follower: Follower) -> Iterator[None]:
        """Tell all peers, now and later, that the artifact is wanted, until the block is left."""
        self._followers[artifact] = follower
        for link in self._links.values():
            link.say(Want(artifact))
            if artifact in link.wants and self._is_useful(link):
                follower.heard(link.instance, Want(artifact))
                self._describe(link, artifact)
        self._served_at = time.monotonic()
        try:
            yield
        finally:
            del self._followers[artifact]
            for link in self._links.values():
                link.say(Done(artifact))

    def tell(self, artifact: str, message: Message) -> None:
        """Say something to all peers that want the artifact; of no use to them if they cannot have it from here."""
        if not self._settings.gives:
            return
        for link in list(self._links.values()):
            if artifact in link.wants:
                link.say(message)

    def ask(self, peer: str, message: Message) -> None:
        """Say something to one peer."""
        if link := self._links.get(peer):
            link.say(message)

    @property
    def gives(self) -> bool:
        """Whether peers take what this node has: unless the user says no, or most of them got wrong bytes from it."""
        against = sum(instance in self._distrusted_by for instance in self._links)
        return self._settings.gives and (against == 0 or 2 * against <= len(self._links))

    def expel(self, peer: str) -> None:
        """Believe nothing of a peer, as long as it runs. It is still given what it asks for: what it would fetch over the
        WAN instead is taken from everybody.
        """
        if peer in self._links:
            self._expelled.add(peer)
            for follower in list(self._followers.values()):
                follower.left(peer)

    # --- what links hear ------------------------------------------------------------------------------------------------

    def heard(self, link: Link, message: Message) -> None:
        """Answer, or pass on to whoever fetches the artifact.

        Raises:
            ProtocolError: a second greeting, or wanting too much.
        """
        match message:
            case Greeting():
                raise ProtocolError("message.malformed")
            case Get():
                link.owe(message)
                return
            case Want(artifact):
                if len(link.wants) >= _MOST_WANTS:
                    raise ProtocolError("message.malformed")
                link.wants.add(artifact)
                self._describe(link, artifact)
            case Done(artifact):
                link.wants.discard(artifact)
            case Carry(sealed):
                if self._settings.gives:
                    self.luggage.put(link.node, bytes.fromhex(sealed), datetime.now(UTC))
                return
            case Distrust():
                self._distrusted_by.add(link.instance)
                return
        follower = self._followers.get(message.artifact)
        if follower is not None and self._is_useful(link):
            follower.heard(link.instance, message)

    def _describe(self, link: Link, artifact: str) -> None:
        """Say what is here of an artifact, and what of it is on its way."""
        link.say(self._held(artifact))
        if self._settings.gives and (follower := self._followers.get(artifact)):
            for claim in follower.claims():
                link.say(claim)

    def _is_useful(self, link: Link) -> bool:
        return link.gives and link.instance not in self._expelled

    def _held(self, artifact: str) -> Have:
        if not self._settings.gives:
            return Have(artifact, 0)
        if follower := self._followers.get(artifact):
            return follower.held()
        return Have(artifact, -1 if self._shelf.holds(artifact) else 0)

    def received(self, link: Link, artifact: str, index: int, data: bytes) -> None:
        """Pass a chunk on; what nobody waits for is dropped."""
        self._counters.received(len(data))
        follower = self._followers.get(artifact)
        if follower is not None and self._is_useful(link):
            follower.received(link.instance, index, data)

    def chunk(self, artifact: str, index: int) -> bytes | None:
        """A chunk that this node can give."""
        if not self._settings.gives:
            return None
        self._served_at = time.monotonic()
        follower = self._followers.get(artifact)
        return follower.read(index) if follower else self._shelf.chunk(artifact, index)

    # --- connections ------------------------------------------------------------------------------------------------------

    async def _accepted(self, connection: ServerConnection) -> None:
        if len(self._links) >= MOST_LINKS:
            await connection.close(1013, "busy")
            return
        with suppress(TimeoutError):
            await self._run(connection, dialled=False)

    async def _run(self, connection: Connection, *, dialled: bool, candidate: _Candidate | None = None) -> bool:
        """Greet and keep a link until it ends; returns whether it was one."""
        node = self._contexts.node_of(connection.transport.get_extra_info("ssl_object"))
        if node is None or node in await self._contexts.revoked() or self._has_enough_of(node):
            await connection.close(1008, "not welcome")
            return False
        try:
            greeting = await greet(
                connection, Greeting(self.instance, self._settings.gives, carries=self._settings.gives)
            )
        except (ProtocolError, WebSocketException):
            await connection.close(1008, "message.malformed")
            return False
        instance = greeting.instance
        if candidate is not None:
            candidate.instance = instance
        link = Link(connection, node, greeting, dialled=dialled, lan=self._lan, sent=self._counters.sent)
        if instance == self.instance or not self._prefers(link):
            await connection.close(1000)
            return True
        former = self._links.get(instance)
        self._links[instance] = link
        if former is not None:
            former.cut()
        for artifact in self._followers:
            link.say(Want(artifact))
        if link.carries:
            self._asked_to_carry = 0.0  # the next look gives it what this node has
        try:
            await link.run(self)
        finally:
            if self._links.get(instance) is link:
                del self._links[instance]
                for follower in list(self._followers.values()):
                    follower.left(instance)
        return True

    def _has_enough_of(self, node: str) -> bool:
        return sum(link.node == node for link in self._links.values()) >= _MOST_LINKS_OF_A_NODE

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.cut_revoked()
            await self.ask_to_carry()

    async def cut_revoked(self) -> None:
        """End the links to nodes that the coordinator has put out since they were made."""
        if not self._links:
            return
        with suppress(EdgeError):  # the record cannot be read now: the next look tells
            revoked = await self._contexts.revoked()
            for link in list(self._links.values()):
                if link.node in revoked:
                    link.cut()

    async def ask_to_carry(self) -> None:
        """Give peers that have a line this node's heartbeat, where it has none: to new ones at once, then every hour."""
        bearers = [link for link in self._links.values() if link.carries]
        if not bearers or time.monotonic() < self._asked_to_carry:
            return
        self._asked_to_carry = time.monotonic() + _CARRY_EVERY_S
        with suppress(EdgeError):  # the next hour brings the next attempt
            if (sealed := await self.to_carry()) is not None:
                for link in bearers:
                    link.say(Carry(sealed.hex()))

    def _prefers(self, link: Link) -> bool:
        """Of two links to the same peer, both sides keep the one that the lower instance dialled."""
        former = self._links.get(link.instance)
        return former is None or link.dialled == (self.instance < link.instance)

    async def _dial_on(self) -> None:
        while True:
            self._hinted.clear()
            now = time.monotonic()
            for address, candidate in list(self._candidates.items()):
                if len(self._dials) >= _DIALS_AT_ONCE or len(self._links) >= MOST_LINKS:
                    break
                if address in self._dials or now < candidate.not_before or self._is_linked(candidate):
                    continue
                task = self._dials[address] = asyncio.create_task(self._dial(address, candidate))
                task.add_done_callback(partial(self._dialled, address))
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._hinted.wait()

    def _dialled(self, address: Address, _: asyncio.Task[None]) -> None:
        self._dials.pop(address, None)
        self._hinted.set()

    def _is_linked(self, candidate: _Candidate) -> bool:
        who = candidate.instance
        return who is not None and (who == self.instance or who in self._links)

    async def _dial(self, address: Address, candidate: _Candidate) -> None:
        host, port = address
        good = False
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, WebSocketException):
            async with connect(
                f"wss://{f'[{host}]' if ':' in host else host}:{port}/",
                ssl=self._contexts.client,
                proxy=None,
                **_OPTIONS,
            ) as connection:
                good = await self._run(connection, dialled=True, candidate=candidate)
        candidate.failures = 0 if good else candidate.failures + 1
        self.on_outcome(address, good)
        candidate.not_before = time.monotonic() + _RETRY_S[min(candidate.failures, len(_RETRY_S) - 1)]


_OPTIONS: dict[str, Any] = {
    "max_size": MAX_FRAME_BYTES,
    "max_queue": 4,
    "compression": None,
    "ping_interval": PING_INTERVAL_S,
    "ping_timeout": 60,
    "open_timeout": GREETING_S,
    "close_timeout": 2,  # who still sends does not keep the link
}
