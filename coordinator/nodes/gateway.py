"""The websocket gateway: tells enrolled nodes that there is something new, and takes in the results that they report."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from protocols.errors import MedMeshError, ProtocolError
from protocols.messages import MAX_MESSAGE_BYTES, PING_INTERVAL_S, CatalogueNotice, Hello, Receipt, decode, encode
from protocols.results import batch
from protocols.results.report import Report

_log = logging.getLogger("medmesh.gateway")
_HELLO_TIMEOUT_S = 15.0
_WATCH_INTERVAL_S = 1.0
_MAX_NODES = 4096

NodeOf = Callable[[str], Awaitable[str | None]]
Serial = Callable[[], Awaitable[int]]
Store = Callable[[str, Sequence[Report]], Awaitable[None]]


class Gateway:
    """Keeps one connection a node and sends each a notice when the rollout document's serial rises."""

    def __init__(self, node_of: NodeOf, serial: Serial, store: Store) -> None:
        """Args: store: has a node's reports written; returns once they are committed."""
        self._node_of = node_of
        self._serial = serial
        self._store = store
        self._nodes: set[ServerConnection] = set()

    @asynccontextmanager
    async def listen(self, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[Server]:
        """Serve until the block is left."""
        async with serve(
            self._connected,
            host,
            port,
            ssl=context,
            max_size=max(MAX_MESSAGE_BYTES, batch.MAX_FRAME_BYTES),
            max_queue=2,
            compression=None,  # messages are tiny, batches compressed and bounded; and no deflate bombs
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            open_timeout=_HELLO_TIMEOUT_S,
        ) as server:
            watcher = asyncio.create_task(self._watch())
            try:
                yield server
            finally:
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher

    async def _connected(self, connection: ServerConnection) -> None:
        tls = connection.transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True)
        if len(self._nodes) >= _MAX_NODES:
            await connection.close(1013, "busy")
            return
        node = await self._node_of(hashlib.sha256(certificate).hexdigest())
        if node is None:
            await connection.close(1008, "not enrolled")
            return
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT_S):
                hello = decode(await connection.recv())
            if not isinstance(hello, Hello):
                raise ProtocolError("message.malformed")
            self._nodes.add(connection)
            await connection.send(encode(_notice(await self._serial())))
            async for message in connection:
                if isinstance(message, str):
                    decode(message)  # nothing is expected; what is not understood ends the connection
                    continue
                await self._store(node, batch.unpack(message))  # the next message waits until this one is committed
                await connection.send(encode(Receipt(batch.batch_id(message))))
        except MedMeshError as error:
            await connection.close(error.kind.close_code, error.code)
        except (ConnectionClosed, TimeoutError):
            pass
        finally:
            self._nodes.discard(connection)

    async def _watch(self) -> None:
        """Look for a new serial; other processes (the command line) change it too."""
        told: int | None = None
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            try:
                serial = await self._serial()
            except Exception:
                _log.exception("reading the rollout document's serial failed; trying again")
                continue
            if told is not None and serial != told:
                broadcast(self._nodes, encode(_notice(serial)))
            told = serial


def _notice(serial: int) -> CatalogueNotice:
    return CatalogueNotice(serial, (batch.FORMAT,))
