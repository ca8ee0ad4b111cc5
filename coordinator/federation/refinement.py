"""A whole run: rounds, the comparison, and last rounds on everything. The same over the mesh, in memory and on a SuperLink."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flwr.serverapp import Grid

from coordinator.errors import CoordinatorError
from coordinator.federation import personal
from coordinator.federation.checkpoint import Checkpoints, State
from coordinator.federation.comparison import Comparison
from coordinator.federation.rounds import Plan, Rounds, Stopped
from coordinator.store.blobs import write_atomically
from protocols.federation.head import Head
from protocols.federation.verdict import Verdict, read_scores_bytes, scores_bytes, weigh

_MOST_LAST = 5


def last_rounds(rounds: int) -> int:
    """How many of the rounds come after the comparison: sites then learn from their held-out images too."""
    return min(_MOST_LAST, rounds // 4)


def refine(
    grid: Grid,
    plan: Plan,
    start: Head,
    folder: Path,
    name_of: Callable[[int], str],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    told: Callable[[State], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[State, Verdict]:
    """Run, or go on with a run whose checkpoint lies in ``folder``. Blocking.

    The verdict is about the head before the last rounds, as cross-validation's figures are about models with fewer images.

    Raises:
        CoordinatorError: ``federation.no_quorum``: not one round was had.
        Stopped: somebody asked to stop.
    """

    def run(what: Plan) -> State:
        rounds = Rounds(
            grid,
            what,
            Checkpoints(folder / "rounds.npz"),
            name_of,
            is_stopped=is_stopped,
            told=told,
            sleep=sleep,
        )
        return rounds.run(start)

    judged = plan.rounds - last_rounds(plan.rounds)
    state = run(replace(plan, rounds=judged))
    if not state.round:
        raise CoordinatorError("federation.no_quorum", least=plan.least_sites)
    kept = folder / "scores.json"
    if not kept.exists():
        scores, alone = Comparison(grid, plan, name_of).scores(state)
        if is_stopped():
            raise Stopped
        personal.keep(folder, alone, weigh(scores))
        write_atomically(kept, scores_bytes(scores))
    if state.round >= judged:
        state = run(replace(plan, everything=True))
    return state, weigh(read_scores_bytes(kept.read_bytes()))
