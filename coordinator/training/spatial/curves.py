"""What one epoch of a training came to, for whoever follows it. A process that nobody follows tells nobody."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One epoch of one run.

    Attributes:
        run: tells the runs of a training apart; no reader sees it.
        name: the layers of the trunk that its heads read.
        epoch: from 1.
        loss: mean over its steps and heads.
        validation: mean over its heads; None where none keeps images aside.
    """

    run: str
    name: str
    epoch: int
    loss: float
    validation: float | None


Listener = Callable[[Point], None]
# Set by who follows, and read at the one place where epochs arrive: all that lies between does not deal with losses.
listener: ContextVar[Listener] = ContextVar("medmesh_curves", default=lambda _: None)
