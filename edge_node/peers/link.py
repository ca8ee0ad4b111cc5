"""One websocket to one peer: what is said goes into a bounded queue, what is heard goes to the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from protocols.errors import ProtocolError
from protocols.peering import Get, Greeting, Lack, Message, decode, decode_chunk, encode, encode_chunk

GREETING_S = 10.0
_MOST_QUEUED = 4096  # a peer that does not read is dropped there
_MOST_ASKED = 16  # chunks that a peer may wait for


class Line(Protocol):
    """A cap on the bytes of a side."""

    async def take(self, size_bytes: int) -> None:
        """Wait until so much may pass."""
        ...


class Ears(Protocol):
    """The hub."""

    def heard(self, link: Link, message: Message) -> None:
        """A message."""
        ...

    def received(self, link: Link, artifact: str, index: int, data: bytes) -> None:
        """A chunk."""
        ...

    def chunk(self, artifact: str, index: int) -> bytes | None:
        """A chunk that this node can give."""
        ...


@dataclass(frozen=True)
class _Owed:
    """A chunk to be sent."""

    artifact: str
    chunk: int


class Link:
    """A greeted connection."""

    def __init__(
        self,
        connection: Connection,
        node: str,
        greeting: Greeting,
        *,
        dialled: bool,
        lan: Line,
        sent: Callable[[int], None],
    ) -> None:
        """Args: node: by its certificate; dialled: by this side; sent: told of the bytes of each chunk that went out."""
        self.node = node
        self.instance = greeting.instance
        self.gives = greeting.gives
        self.carries = greeting.carries
        self.dialled = dialled
        self.wants: set[str] = set()  # artifacts that the peer fetches
        self._connection = connection
        self._lan = lan
        self._sent = sent
        self._queue: asyncio.Queue[Message | _Owed] = asyncio.Queue(_MOST_QUEUED)
        self._asked = 0

    def say(self, message: Message) -> None:
        """Send, in turn; a queue that is full ends the connection."""
        self._enqueue(message)

    def owe(self, request: Get) -> None:
        """Note a chunk that the peer asked for; it is read when its turn comes.

        Raises:
            ProtocolError: it asks for too many at once.
        """
        self._asked += 1
        if self._asked > _MOST_ASKED:
            raise ProtocolError("message.malformed")
        self._enqueue(_Owed(request.artifact, request.chunk))

    def _enqueue(self, item: Message | _Owed) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """End the connection without a word."""
        self._connection.transport.abort()

    async def run(self, ears: Ears) -> None:
        """Listen and speak until the connection ends."""
        writer = asyncio.create_task(self._write(ears))
        try:
            async for frame in self._connection:
                if isinstance(frame, str):
                    ears.heard(self, decode(frame))
                else:
                    await self._lan.take(len(frame))
                    ears.received(self, *decode_chunk(frame))
        except ProtocolError as error:
            await self._connection.close(error.kind.close_code, error.code)
        except ConnectionClosed:
            pass
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _write(self, ears: Ears) -> None:
        while True:
            item = await self._queue.get()
            if not isinstance(item, _Owed):
                await self._connection.send(encode(item))
                continue
            self._asked -= 1
            data = ears.chunk(item.artifact, item.chunk)
            if data is None:
                await self._connection.send(encode(Lack(item.artifact, item.chunk)))
                continue
            await self._lan.take(len(data))
            await self._connection.send(encode_chunk(item.artifact, item.chunk, data))
            self._sent(len(data))


async def greet(connection: Connection, ours: Greeting) -> Greeting:
    """Exchange greetings; returns the peer's.

    Raises:
        ProtocolError: it said something else.
        TimeoutError: it said nothing.
    """
    await connection.send(encode(ours))
    async with asyncio.timeout(GREETING_S):
        first = await connection.recv()
    greeting = decode(first) if isinstance(first, str) else None
    if not isinstance(greeting, Greeting):
        raise ProtocolError("message.malformed")
    return greeting
