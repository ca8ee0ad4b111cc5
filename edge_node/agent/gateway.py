"""The websocket to the coordinator's node gateway, with the node's certificate."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from edge_node import PROGRAM
from edge_node.errors import UnreachableError
from edge_node.identity import tls
from edge_node.outbox.errors import BatchRefusedError, NotAcceptedError
from protocols.errors import MedMeshError, ProtocolError
from protocols.federation import envelope
from protocols.messages import (
    MAX_MESSAGE_BYTES,
    MAX_OWN_ADDRESSES,
    PING_INTERVAL_S,
    CatalogueNotice,
    Hello,
    Listening,
    Neighbours,
    Receipt,
    decode,
    encode,
)
from protocols.results.batch import batch_id

RECEIPT_TIMEOUT_S = 120.0  # a full batch takes half a minute on a line of 1 kB/s
_NOTICE_TIMEOUT_S = 30.0
_MOST_NEWS = 64
_MALFORMED, _REFUSED = 1007, 1008  # RFC 6455 section 7.4
_NOT_OURS = ("not enrolled", "node.revoked")
_REASON = re.compile(r"results\.[a-z_]{1,40}")

HearPeers = Callable[[list[tuple[str, int]]], None]
WhereListening = Callable[[], tuple[tuple[str, ...], int] | None]
Answer = Callable[[bytes], Awaitable[bytes | None]]
Federation = Callable[[], Awaitable[Answer | None]]
_LOOK_EVERY_S = 15.0  # whether somebody has consented, or withdrawn


@dataclass(frozen=True)
class Line:
    """Where the gateway is, and the TLS with which the node shows itself."""

    url: str
    context: ssl.SSLContext


class Session:
    """One connection: catalogue serials come in, batches of results go out. Iterating ends with the failure."""

    def __init__(self, connection: ClientConnection, url: str, hear_peers: HearPeers) -> None:
        self._answer: Answer | None = None
        self._questions = envelope.Reassembly(envelope.MAX_DOCUMENT_BYTES)
        self._answering: set[asyncio.Task[None]] = set()
        self._connection = connection
        self._url = url
        self._hear_peers = hear_peers
        self._serials: asyncio.Queue[int | None] = asyncio.Queue()
        self._greeting: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        self._receipts: dict[str, asyncio.Future[None]] = {}
        self._failure: MedMeshError | None = None

    async def read(self) -> None:
        """Take in what the coordinator sends until the connection ends."""
        try:
            async for data in self._connection:
                if isinstance(data, bytes) and self._answer is not None:
                    self._hear_question(data, self._answer)
                else:
                    self._take(decode(data))
            failure: MedMeshError = UnreachableError("edge.gateway_unreachable", url=self._url)
        except MedMeshError as error:
            failure = error
        except ConnectionClosed as error:
            failure = _meaning(error, self._url)
        self._failure = failure
        for receipt in self._receipts.values():
            if not receipt.done():
                receipt.set_exception(failure)
        if not self._greeting.done():
            self._greeting.set_exception(failure)
        self._greeting.exception()  # nobody needs to have asked
        self._serials.put_nowait(None)

    def take_part(self, answer: Answer | None) -> None:
        """From now on questions of federated runs are answered by ``answer``; None: they are not expected."""
        self._answer = answer

    @property
    def takes_part(self) -> bool:
        """Whether questions are answered."""
        return self._answer is not None

    def _hear_question(self, data: bytes, answer: Answer) -> None:
        whole = self._questions.accept(data)
        if whole is not None:
            task = asyncio.create_task(self._reply(whole, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _reply(self, question: bytes, answer: Answer) -> None:
        with suppress(ConnectionClosed):  # whoever reads hears why
            try:
                reply = await answer(question)
            except ProtocolError as error:
                await self._connection.close(error.kind.close_code, error.code)
                return
            for piece in envelope.pieces(reply or b""):
                await self._connection.send(piece)

    def stop_answering(self) -> None:
        """The connection ends: nobody waits for answers any more."""
        for task in self._answering:
            task.cancel()

    def _take(self, message: object) -> None:
        match message:
            case CatalogueNotice(serial, accepts):
                if not self._greeting.done():
                    self._greeting.set_result(accepts)
                if self._serials.qsize() == _MOST_NEWS:  # where nobody listens the newest are enough
                    self._serials.get_nowait()
                self._serials.put_nowait(serial)
            case Receipt(batch) if batch in self._receipts and not self._receipts[batch].done():
                self._receipts[batch].set_result(None)
            case Neighbours(addresses):
                self._hear_peers(list(addresses))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        serial = await self._serials.get()
        if serial is None:
            raise self._failure or UnreachableError("edge.gateway_unreachable", url=self._url)
        return serial

    async def accepts(self) -> tuple[str, ...]:
        """The formats of batches that the coordinator takes.

        Raises:
            MedMeshError: the connection broke first.
        """
        try:
            async with asyncio.timeout(_NOTICE_TIMEOUT_S):
                return await asyncio.shield(self._greeting)
        except TimeoutError as error:
            raise UnreachableError("edge.gateway_unreachable", url=self._url) from error

    async def deliver(self, frame: bytes) -> None:
        """Send a batch; returns once its receipt is here.

        Raises:
            BatchRefusedError: the coordinator refused it, and closed the connection.
            NotAcceptedError: it does not accept this node.
            UnreachableError: the connection broke, now or before, or there was no receipt in time.
        """
        if self._failure is not None:
            raise UnreachableError("edge.gateway_unreachable", url=self._url)
        receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._receipts[batch_id(frame)] = receipt
        try:
            async with asyncio.timeout(RECEIPT_TIMEOUT_S):
                with suppress(ConnectionClosed):  # whoever reads hears why, and tells the receipt
                    await self._connection.send(frame)
                await receipt
        except TimeoutError as error:
            await self._connection.close()
            raise UnreachableError("outbox.no_receipt") from error
        finally:
            self._receipts.pop(batch_id(frame), None)


def _meaning(error: ConnectionClosed, url: str) -> MedMeshError:
    """Why the coordinator closed the connection."""
    if error.rcvd is not None and error.rcvd.code == _MALFORMED and _REASON.fullmatch(error.rcvd.reason):
        return BatchRefusedError("outbox.batch_refused", reason=error.rcvd.reason)
    if error.rcvd is not None and error.rcvd.code == _REFUSED and error.rcvd.reason in _NOT_OURS:
        return NotAcceptedError("gateway.refused")
    return UnreachableError("edge.gateway_unreachable", url=url)


class WebsocketGateway:
    """Connects to the gateway."""

    def __init__(
        self,
        line: Callable[[], Line],
        open_timeout_s: float,
        listening: WhereListening = lambda: None,
        hear_peers: HearPeers = lambda _: None,
        federation: Federation | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            line: asked anew for each connection.
            open_timeout_s: longest wait for a connection, seconds.
            listening: this node's own addresses and the port where it serves peers, asked for each connection; the
                coordinator tells nodes near this one. None: it serves none, and hears of none.
            hear_peers: told addresses where nodes near this one say that they serve peers; hints, not to be believed.
            federation: what answers questions of federated runs, asked every few seconds; it gives None while this site has
                consented to none.
        """
        self._line = line
        self._open_timeout_s = open_timeout_s
        self._listening = listening
        self._hear_peers = hear_peers
        self._federation = federation

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """One connection, after our greeting.

        Raises:
            UnreachableError: it cannot be made, or broke.
            NotAcceptedError: the coordinator does not accept this node.
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
                session = Session(connection, line.url, self._hear_peers)
                answer = None if self._federation is None else await self._federation()
                session.take_part(answer)
                await connection.send(encode(self._hello(answer)))
                tasks = [asyncio.create_task(session.read())]
                if self._federation is not None:
                    tasks.append(asyncio.create_task(self._keep_saying(connection, session, self._federation)))
                try:
                    yield session
                finally:
                    session.stop_answering()
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
        except ConnectionClosed as error:
            raise _meaning(error, line.url) from error
        except (OSError, TimeoutError, asyncio.IncompleteReadError, WebSocketException) as error:
            raise UnreachableError("edge.gateway_unreachable", url=line.url) from error

    async def _keep_saying(self, connection: ClientConnection, session: Session, federation: Federation) -> None:
        """Greet again when somebody has consented, or withdrawn; otherwise it costs the line nothing."""
        was = session.takes_part
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(_LOOK_EVERY_S)
                answer = await federation()
                session.take_part(answer)
                if session.takes_part != was:
                    was = session.takes_part
                    await connection.send(encode(self._hello(answer)))

    def _hello(self, answer: Answer | None) -> Hello:
        return Hello(PROGRAM, listening=self._where(), federates=answer is not None)

    def _where(self) -> Listening | None:
        where = self._listening()
        if where is None or not where[0]:
            return None
        addresses, port = where
        return Listening(addresses[:MAX_OWN_ADDRESSES], port)
