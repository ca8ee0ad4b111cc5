"""Writing reports as they come from the nodes."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.results.store import Results
from coordinator.store.batching import BatchWriter
from protocols.clock import Clock
from protocols.results.report import Report


class ResultWriter(BatchWriter[Sequence[Report]]):
    """Takes batches of reports and says when each is committed."""

    def __init__(self, results: Results, clock: Clock) -> None:
        super().__init__(results.store, clock)
