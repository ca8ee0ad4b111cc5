"""One command's node, put together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from edge_node.bootstrap.parts import LocalCache, utc_now
from edge_node.bootstrap.sticks import Sticks
from edge_node.errors import NotEnrolledError

if TYPE_CHECKING:
    from edge_node.worker.guard import GuardedRecognition


class Edge(Sticks):
    """One command's node. Each part of the wiring has a module of its own, and each builds on those before it:
    ``home``, ``local``, ``peers``, ``fetching``, ``federation``, ``line``, ``sticks``.
    """

    def recognition(self, local: LocalCache, *, ask_coordinator: bool = True) -> GuardedRecognition:
        """Recognition with the installed models; the replica alone without ``ask_coordinator`` or before joining."""
        local.models.warm_up()  # its start goes on beside the imports here
        from edge_node.cache.usage import Usage
        from edge_node.knowledge.online import CoordinatorKnowledge
        from edge_node.recognition.service import RecognitionService
        from edge_node.worker.guard import GuardedRecognition

        coordinator = None
        if ask_coordinator:
            with suppress(NotEnrolledError):
                self.identity()
                coordinator = CoordinatorKnowledge(self.endpoints)
        service = RecognitionService(local.models, coordinator, self.replica(), self.config.diagnosis_timeout_s)
        return GuardedRecognition(service, self.quarantine(local), Usage(local.store, utc_now).note)
