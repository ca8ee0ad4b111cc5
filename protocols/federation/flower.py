"""Flower's records as plain NumPy and back. Like LiteRT, Flower is imported only where it is used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from protocols.federation.exchange import Arrays

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, RecordDict

COORDINATOR = 1  # Flower's number of the node that runs the ServerApp
Numbers = dict[str, Any]  # int, float, or lists of one of them; in a configuration also str and lists of str


def identify(run: int, node: int) -> None:
    """Say who writes messages in this process; Flower's own launchers do so by themselves."""
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, run, node


def hush() -> None:
    """Flower logs a page for every round, to a handler of its own; warnings are enough."""
    logging.getLogger("flwr").setLevel(logging.WARNING)


def arrays_of(record: ArrayRecord) -> Arrays:
    """The arrays of a record.

    Raises:
        ValueError: it holds something else than plain numbers.
    """
    return {key: np.asarray(array.numpy()) for key, array in record.items()}


def array_record(arrays: Arrays) -> ArrayRecord:
    """A record of arrays."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({key: Array(np.ascontiguousarray(value)) for key, value in arrays.items()})


def records(
    arrays: dict[str, Arrays] | None = None,
    metrics: dict[str, Numbers] | None = None,
    configs: dict[str, Numbers] | None = None,
) -> RecordDict:
    """The content of a message."""
    from flwr.app import ConfigRecord, MetricRecord, RecordDict

    content = RecordDict()
    for name, value in (arrays or {}).items():
        content[name] = array_record(value)
    for name, numbers in (metrics or {}).items():
        content[name] = MetricRecord(numbers)
    for name, numbers in (configs or {}).items():
        content[name] = ConfigRecord(numbers)
    return content
