"""Flower's ``Grid`` over the mesh: the nodes' own authenticated lines, no other port, and no code travels."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from coordinator.federation.lines import Lines
from protocols.errors import ProtocolError
from protocols.federation import envelope, flower
from protocols.federation.envelope import Document

_log = logging.getLogger("medmesh.federation")
_GRACE_S = 60.0  # a loop that is busy with other things is not a failure
_T = TypeVar("_T")


class MeshGrid(Grid):  # type: ignore[misc]  # Flower is not typed here
    """Used from the thread that runs the rounds; the lines live in the gateway's loop."""

    def __init__(self, lines: Lines, loop: asyncio.AbstractEventLoop, passed: Callable[[str, int, int], None]) -> None:
        """Args: passed: told a node, and the bytes that went up from it and down to it."""
        self._lines = lines
        self._loop = loop
        self._passed = passed
        flower.identify(1, flower.COORDINATOR)
        flower.hush()

    def set_run(self, run: Any) -> None:
        """Not used: a run is known by its checkpoint."""

    @property
    def run(self) -> Any:
        """Not used."""
        raise NotImplementedError

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message to a node."""
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        """The nodes that can be asked now."""
        return [number_of(node) for node in self._call(self._present())]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Not used: a question is kept open until its answer is here."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Not used."""
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Ask nodes at the same time; whoever has not answered in time is not among the replies."""
        asked = {node_of(m.metadata.dst_node_id): m for m in messages}
        questions = {node: envelope.pack(_document(m)) for node, m in asked.items()}
        limit_s = 3600.0 if timeout is None else timeout
        answers = self._call(self._lines.ask(questions, limit_s), limit_s + _GRACE_S)
        replies = []
        for node, message in asked.items():
            answer = answers.get(node, b"")
            self._passed(node, len(answer), len(questions[node]))
            if answer:
                replies.append(_reply(answer, message, node))
        return replies

    async def _present(self) -> list[str]:
        return self._lines.present()

    def _call(self, work: Coroutine[Any, Any, _T], timeout_s: float = 60.0) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)


def number_of(node: str) -> int:
    """A node's id as Flower counts: it is 16 hexadecimal digits."""
    return int(node, 16)


def node_of(number: int) -> str:
    """The id of Flower's number."""
    return f"{number:016x}"


def _document(message: Message) -> Document:
    content = message.content
    return Document(
        secrets.token_bytes(8),
        message.metadata.message_type,
        {name: flower.arrays_of(record) for name, record in content.array_records.items()},
        {name: dict(record) for name, record in content.metric_records.items()},
        {name: dict(record) for name, record in content.config_records.items()},
    )


def _reply(answer: bytes, message: Message, node: str) -> Message:
    """An answer from a stranger as Flower's message; what cannot be read is an error, which the guard names."""
    try:
        read = envelope.unpack(answer)
        if read.error:
            return Message(Error(1, read.error), reply_to=message)
        return Message(flower.records(read.arrays, read.metrics, read.configs), reply_to=message)
    except (ProtocolError, TypeError, ValueError) as error:
        _log.warning("the answer of %s cannot be read: %s", node, type(error).__name__)
        return Message(Error(1, "federation.document_malformed"), reply_to=message)
