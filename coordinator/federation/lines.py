"""The nodes that take part, on the gateway's websockets: questions go out in pieces, answers come back or do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocols.federation import envelope

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection


@dataclass
class _Line:
    node: str
    connection: ServerConnection
    reassembly: envelope.Reassembly
    waiting: dict[bytes, asyncio.Future[list[bytes]]] = field(default_factory=dict)


class Lines:
    """One line for each node that takes part: its newest. Everything runs in the gateway's event loop."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._of: dict[ServerConnection, _Line] = {}

    def arrive(self, connection: ServerConnection, node: str) -> None:
        """A node that takes part is there."""
        line = _Line(node, connection, envelope.Reassembly(envelope.MAX_ANSWER_BYTES))
        self._lines[node] = self._of[connection] = line

    def leave(self, connection: ServerConnection) -> None:
        """It is gone; nobody waits for it any longer."""
        line = self._of.pop(connection, None)
        if line is None:
            return
        if self._lines.get(line.node) is line:
            del self._lines[line.node]
        for waiting in line.waiting.values():
            if not waiting.done():
                waiting.set_result([])

    def take(self, connection: ServerConnection, piece: bytes) -> None:
        """A piece of an answer; one that nobody waits for, such as a late one, is let go at once.

        Raises:
            ProtocolError: ``federation.document_malformed``: what was waited for cannot be read; the line is closed.
        """
        line = self._of.get(connection)
        if line is None or (name := envelope.id_of(piece)) not in line.waiting:
            return
        whole = line.reassembly.accept(piece)
        if whole is not None and not (waiting := line.waiting[name]).done():
            waiting.set_result([whole])

    def present(self) -> list[str]:
        """The nodes that can be asked."""
        return sorted(self._lines)

    async def ask(self, questions: Mapping[str, bytes], timeout_s: float) -> dict[str, bytes]:
        """Send each node its question and wait for the answers, together no longer than ``timeout_s``."""
        tasks = {node: asyncio.create_task(self._ask(node, data)) for node, data in questions.items()}
        if not tasks:
            return {}
        done, late = await asyncio.wait(tasks.values(), timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        found = {node: task.result() for node, task in tasks.items() if task in done}
        return {node: answer for node, answer in found.items() if answer is not None}

    async def _ask(self, node: str, data: bytes) -> bytes | None:
        from websockets.exceptions import ConnectionClosed

        line = self._lines.get(node)
        if line is None:
            return None
        name = envelope.unpack(data).id
        waiting: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        line.waiting[name] = waiting
        try:
            with contextlib.suppress(ConnectionClosed):
                for piece in envelope.pieces(data):
                    await line.connection.send(piece)
                answers = await waiting
                return answers[0] if answers else None
            return None
        finally:
            line.waiting.pop(name, None)
