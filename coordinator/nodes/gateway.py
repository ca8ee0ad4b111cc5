"""The websocket gateway: tells enrolled nodes that there is something new, and takes in the results that they report."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from coordinator.nodes.connections import Crowd
from coordinator.nodes.enrolment import EnrolledNode
from coordinator.nodes.neighbours import Places, places, reachable
from protocols import heartbeat
from protocols.errors import MedMeshError, ProtocolError
from protocols.federation import envelope
from protocols.messages import MAX_MESSAGE_BYTES, PING_INTERVAL_S, CatalogueNotice, Hello, Receipt, decode, encode
from protocols.results import batch
from protocols.results.report import Report

_log = logging.getLogger("medmesh.gateway")
_HELLO_TIMEOUT_S = 15.0
_CLOSE_TIMEOUT_S = 5.0
_WATCH_INTERVAL_S = 1.0
_REAP_INTERVAL_S = 4 * PING_INTERVAL_S  # nodes ping; ours only finds those that are gone, and a thin line pays for both
_MOST_UNREAD_BYTES = 64 * 1024  # of notices: whoever has left so many unread reads nothing
_LOOKUPS_AT_ONCE = 8  # of who is connecting; beyond that a crowd waits here and not in the database
_TLS_BUFFER_BYTES = 16 * 1024  # a TLS record; asyncio's own 256 kB for each line would be 256 MB for a thousand nodes

NodeOf = Callable[[str], Awaitable[EnrolledNode | None]]
Revoked = Callable[[], Awaitable[frozenset[str]]]
Serial = Callable[[], Awaitable[int]]
Store = Callable[[str, Sequence[Report]], Awaitable[None]]
TakeHeartbeat = Callable[[str, bytes], Awaitable[None]]


class Federation(Protocol):
    """Whoever runs federated rounds over the nodes' lines."""

    def arrive(self, connection: ServerConnection, node: str) -> None:
        """A node that takes part is there."""
        ...

    def take(self, connection: ServerConnection, piece: bytes) -> None:
        """It sent a piece of an answer.

        Raises:
            ProtocolError: ``federation.document_malformed``.
        """
        ...

    def leave(self, connection: ServerConnection) -> None:
        """It is gone."""
        ...


class Gateway:
    """Keeps the nodes' connections and sends each a notice when the rollout document's serial rises."""

    def __init__(
        self,
        node_of: NodeOf,
        revoked: Revoked,
        serial: Serial,
        store: Store,
        federation: Federation | None = None,
        take_heartbeat: TakeHeartbeat | None = None,
    ) -> None:
        """Prepare.

        Args:
            node_of: who has a certificate.
            revoked: the nodes to turn away.
            serial: of the rollout document.
            store: has a node's reports written; returns once they are committed.
            federation: takes the answers of nodes that take part in federated runs.
            take_heartbeat: has what a node says of itself kept; returns once it is committed.
        """
        self._take_heartbeat = take_heartbeat
        self._accepts = (batch.FORMAT,) if take_heartbeat is None else (batch.FORMAT, heartbeat.FORMAT)
        self._federation = federation
        self._node_of = node_of
        self._revoked = revoked
        self._serial = serial
        self._store = store
        self._nodes: dict[ServerConnection, str] = {}  # those that have greeted
        self._crowd = Crowd()
        self._places = Places(random.Random())
        self._lookups = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self._goodbyes: set[asyncio.Task[None]] = set()

    @property
    def links(self) -> int:
        """Lines of nodes that have greeted."""
        return len(self._nodes)

    @asynccontextmanager
    async def listen(self, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[Server]:
        """Serve until the block is left."""
        serial = await self._serial()
        SSLProtocol.max_size = _TLS_BUFFER_BYTES
        async with serve(
            self._connected,
            host,
            port,
            ssl=context,
            max_size=max(MAX_MESSAGE_BYTES, batch.MAX_FRAME_BYTES),
            max_queue=2,
            compression=None,  # messages are tiny, batches compressed and bounded; and no deflate bombs
            ping_interval=_REAP_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            open_timeout=_HELLO_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            create_connection=self._counted(),
        ) as server:
            watcher = asyncio.create_task(self._watch(serial))
            try:
                yield server
            finally:
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher

    def _counted(self) -> type[ServerConnection]:
        """Connections that are counted from the end of their TLS on, before they have said anything."""
        gateway = self

        class Counted(ServerConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                gateway._arrived(self)

            def connection_lost(self, exc: Exception | None) -> None:
                gateway._crowd.leave(self)
                super().connection_lost(exc)

        return Counted

    def _arrived(self, connection: ServerConnection) -> None:
        verdict = self._crowd.arrive(connection, _certificate(connection))
        if not verdict.is_welcome:
            connection.transport.abort()
        for other in (verdict.close, verdict.drop):
            if isinstance(other, ServerConnection):
                self._end(other, "replaced", at_once=other is verdict.drop)

    def _end(self, connection: ServerConnection, reason: str, *, at_once: bool = False) -> None:
        if at_once or connection.state is not State.OPEN:
            connection.transport.abort()
            return
        task = asyncio.create_task(connection.close(1008, reason))
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def _connected(self, connection: ServerConnection) -> None:
        async with self._lookups:
            if connection.state is not State.OPEN:  # it gave way to another meanwhile
                return
            node = await self._node_of(_certificate(connection))
        if node is None:
            await connection.close(1008, "not enrolled")
            return
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT_S):
                hello = decode(await connection.recv())
            if not isinstance(hello, Hello):
                raise ProtocolError("message.malformed")
            self._nodes[connection] = node.id
            await connection.send(encode(self._notice(await self._serial())))
            self._place(connection, node, hello)
            if self._federation is not None and hello.federates:
                self._federation.arrive(connection, node.id)
            async for message in connection:
                if isinstance(message, str):
                    self._greeted_again(connection, node, decode(message))  # what is not understood ends the connection
                    continue
                if self._federation is not None and envelope.is_piece(message):
                    self._federation.take(connection, message)
                    continue
                await self._take(node.id, message)  # the next waits until this one is committed
                await connection.send(encode(Receipt(batch.batch_id(message))))
        except MedMeshError as error:
            await connection.close(error.kind.close_code, error.code)
        except TimeoutError:
            await connection.close(1008, "no greeting")
        except ConnectionClosed:
            pass
        finally:
            self._nodes.pop(connection, None)
            self._places.leave(connection)
            if self._federation is not None:
                self._federation.leave(connection)

    async def _take(self, node: str, frame: bytes) -> None:
        if self._take_heartbeat is not None and heartbeat.is_heartbeat(frame):
            await self._take_heartbeat(node, frame)
        else:
            await self._store(node, batch.unpack(frame))

    def _notice(self, serial: int) -> CatalogueNotice:
        return CatalogueNotice(serial, self._accepts)

    def _greeted_again(self, connection: ServerConnection, node: EnrolledNode, message: object) -> None:
        """A node greets again when it begins to take part in federated runs, or ends it."""
        if self._federation is not None and isinstance(message, Hello):
            self._federation.leave(connection)
            if message.federates:
                self._federation.arrive(connection, node.id)

    def _place(self, connection: ServerConnection, node: EnrolledNode, hello: Hello) -> None:
        """Tell a node that serves peers of those near it; they hear of it a moment later."""
        if connection.remote_address is None:  # gone meanwhile
            return
        source = str(connection.remote_address[0])
        if addresses := reachable(hello.listening, source):
            self._places.arrive(connection, node.id, places(source, node.site), addresses)
            self._tell_neighbours([connection])

    def _tell_neighbours(self, only: list[ServerConnection] | None = None) -> None:
        for connection, message in self._places.news(asyncio.get_running_loop().time(), only):
            assert isinstance(connection, ServerConnection)
            self._tell([connection], encode(message))

    def _tell(self, connections: Iterable[ServerConnection], message: str) -> None:
        """Send without waiting for anyone."""
        reading = []
        for connection in connections:
            if connection.transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
                connection.transport.abort()  # a close frame would only join the rest that it does not read
            else:
                reading.append(connection)
        broadcast(reading, message)

    async def _watch(self, told: int) -> None:
        """Look for a serial other than the one ``told``; other processes (the command line) change it too."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            try:
                serial = await self._serial()
                if serial != told:
                    self._tell(list(self._nodes), encode(self._notice(serial)))
                    await self._turn_away_revoked()
                self._tell_neighbours()
            except Exception:
                _log.exception("looking for news failed; trying again")
                continue
            told = serial

    async def _turn_away_revoked(self) -> None:
        revoked = await self._revoked()
        for connection, node in list(self._nodes.items()):
            if node in revoked:
                self._places.leave(connection)
                self._end(connection, "node.revoked")


def _certificate(connection: ServerConnection) -> str:
    tls: Any = connection.transport.get_extra_info("ssl_object")
    return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
