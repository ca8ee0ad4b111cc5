"""Answers the coordinator's questions on the node's line, one at a time, with the installed ClientApp and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from protocols.errors import MedMeshError, ProtocolError
from protocols.federation import envelope, flower
from protocols.federation.envelope import KINDS, Document

_MOST_WAITING = 2  # questions; a coordinator that asks faster than it is answered is not listened to


class Participant:
    """One for each process."""

    def __init__(self, app: ClientApp, node: str, told: Callable[[str, str], None]) -> None:
        """Args: node: this node's id; told: the kind of a question that was answered, and a code if it was declined."""
        self._app = app
        self._number = int(node, 16)
        self._told = told
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._in_thread = threading.Lock()  # a question that was cancelled goes on in its thread until its end

    async def answer(self, data: bytes) -> bytes | None:
        """The answer to a question; None where too many wait.

        Raises:
            ProtocolError: ``federation.document_malformed``.
        """
        question = envelope.unpack(data)
        if question.kind not in KINDS:
            raise ProtocolError("federation.document_malformed")
        if self._waiting >= _MOST_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._turn:
                answered = await asyncio.to_thread(self._run, question)
        finally:
            self._waiting -= 1
        self._told(question.kind, answered.error)
        return envelope.pack(answered)

    def _run(self, question: Document) -> Document:
        with self._in_thread:
            flower.identify(1, self._number)
            try:
                content = flower.records(question.arrays, question.metrics, question.configs)
                message = Message(content, dst_node_id=self._number, message_type=question.kind)
                context = Context(run_id=1, node_id=self._number, node_config={}, state=RecordDict(), run_config={})
                return _document(question.id, self._app(message, context))
            except MedMeshError as error:
                return Document(question.id, error=error.code)
            except (TypeError, ValueError, KeyError):  # the question made no sense to Flower's records
                return Document(question.id, error="federation.task_malformed")


def _document(name: bytes, reply: Any) -> Document:
    if reply.has_error():
        return Document(name, error=str(reply.error.reason)[:80])
    content = reply.content
    return Document(
        name,
        "",
        {n: flower.arrays_of(r) for n, r in content.array_records.items()},
        {n: dict(r) for n, r in content.metric_records.items()},
        {n: dict(r) for n, r in content.config_records.items()},
    )
