"""A staged plan from what a person typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.releases.stages import USUAL, Policy, StagedPlan, read_plan_file, read_stages

_MOST_BYTES = 64 * 1024


def names_of(text: str) -> tuple[str, ...]:
    """Groups, ``a,b``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def staged_plan(canaries: str, plan: str | None, percent: int | None, policy: Sequence[str]) -> StagedPlan:
    """The plan; without one the usual stages.

    Args:
        canaries: groups, ``a,b``.
        plan: stages, or the path of a file that holds them.
        percent: where it ends; None: as the plan says.
        policy: ``name=value`` each; they go before what the file says.

    Raises:
        CoordinatorError: ``rollout.bad_plan``, ``rollout.bad_policy``.
    """
    stages = USUAL
    from_file: dict[str, Any] = {}
    if plan is not None:
        stages, from_file = _read(plan)
    settings: dict[str, Any] = dict(from_file)
    for setting in policy:
        name, _, value = setting.partition("=")
        settings[name.strip()] = value.strip()
    found = StagedPlan(read_stages(stages), names_of(canaries), Policy().changed(settings))
    return found if percent is None else found.up_to(percent)


def _read(plan: str) -> tuple[str, dict[str, Any]]:
    try:
        path = Path(plan)
        if not path.is_file():
            return plan, {}
        if path.stat().st_size > _MOST_BYTES:
            raise CoordinatorError("rollout.bad_plan", plan=path.name[:80], problem="the file is too large")
        return read_plan_file(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CoordinatorError("rollout.bad_plan", plan=plan[:80], problem="the file cannot be read") from error
