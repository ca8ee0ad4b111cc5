"""The websocket to the coordinator's node gateway, with the node's certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from edge_node import PROGRAM
from edge_node.errors import UnreachableError
from edge_node.identity import tls
from protocols.messages import MAX_MESSAGE_BYTES, PING_INTERVAL_S, CatalogueNotice, Hello, decode, encode


@dataclass(frozen=True)
class Line:
    """Where the gateway is, and the TLS with which the node shows itself."""

    url: str
    context: ssl.SSLContext


class WebsocketGateway:
    """Connects to the gateway and yields catalogue serials."""

    def __init__(self, line: Callable[[], Line], open_timeout_s: float) -> None:
        """Args: line: asked anew for each connection."""
        self._line = line
        self._open_timeout_s = open_timeout_s

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncIterator[int]]:
        """One connection, after our greeting.

        Raises:
            UnreachableError: it cannot be made, or broke.
            ProtocolError: the other side sent something else than messages.
        """
        line = self._line()
        try:
            async with connect(
                line.url,
                ssl=line.context,
                server_hostname=tls.SERVER_NAME,
                proxy=None,
                compression=None,
                open_timeout=self._open_timeout_s,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=60,
                max_size=MAX_MESSAGE_BYTES,
            ) as connection:
                await connection.send(encode(Hello(PROGRAM)))
                yield _serials(connection)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, WebSocketException) as error:
            raise UnreachableError("edge.gateway_unreachable", url=line.url) from error


async def _serials(connection: ClientConnection) -> AsyncIterator[int]:
    async for data in connection:
        message = decode(data)
        if isinstance(message, CatalogueNotice):
            yield message.serial
    raise UnreachableError("edge.gateway_unreachable", url="wss")
