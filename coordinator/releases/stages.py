"""The stages of a rollout and the rules for going on, as a person writes them. Pure."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from coordinator.errors import CoordinatorError

USUAL = "canary:24h,10%:48h,50%:48h,100%"
MAX_STAGES = 20
MAX_GROUPS, MAX_GROUP = 64, 60  # nodes refuse a list that holds more: ``protocols.trust``
MAX_STAY = timedelta(days=365)
_STAGE = re.compile(r"(canary|\d{1,3}%)(?::(\d{1,6})([smhd]))?")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Stage:
    """How far a release is offered, beside the canary groups, which always have it."""

    percent: int  # 0: the canary groups alone
    stay_s: int  # before the next stage, at least

    @property
    def name(self) -> str:
        """``canary``, ``10%`` or ``full``."""
        return {0: "canary", 100: "full"}.get(self.percent, f"{self.percent}%")

    def __str__(self) -> str:
        reach = f"{self.percent}%" if self.percent else "canary"
        unit = next(u for u in "dhms" if self.stay_s % _UNIT_S[u] == 0)
        return f"{reach}:{self.stay_s // _UNIT_S[unit]}{unit}" if self.stay_s else reach


@dataclass(frozen=True)
class Policy:
    """What must be seen before a stage ends, and what stops a rollout. Shares are 0 to 1."""

    least_nodes: int = 3  # that run the release; all that the stage reaches, where it reaches fewer
    least_share: float = 0.5  # of the nodes that a percentage reaches must run it
    least_results: int = 20  # with the release, over all nodes
    longest_h: float = 21 * 24  # at one stage; from then on a person is asked to decide
    watch_h: float = 28 * 24  # how long after the last stage began evidence still pauses
    failures_allowed: float = 0.02  # of the nodes that tried the release
    declines_allowed: float = 0.10  # of the sites that tried the release
    rise_allowed: float = 0.02  # of unsure, foreign or poor pictures and of crashes, against the release before
    compared_results: int = 20  # with each of the two releases, before their rates are compared
    confidence: float = 0.99  # of the intervals that must lie beyond what is allowed

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            CoordinatorError: ``rollout.bad_policy``.
        """
        for field in dataclasses.fields(self):
            value, whole = getattr(self, field.name), field.type == "int"
            most = 1e6 if whole or field.name.endswith("_h") else 1.0
            if (
                isinstance(value, bool)
                or not isinstance(value, int if whole else int | float)
                or not 0 <= value <= most
            ):
                raise CoordinatorError("rollout.bad_policy", name=field.name, value=str(value)[:40])
        if not 0.5 <= self.confidence < 1 or self.compared_results < 1:
            raise CoordinatorError("rollout.bad_policy", name="confidence", value=self.confidence)

    def changed(self, settings: Mapping[str, Any]) -> Policy:
        """The same policy with other settings; text is read as a number.

        Raises:
            CoordinatorError: ``rollout.bad_policy``.
        """
        known = {field.name: field.type == "int" for field in dataclasses.fields(self)}
        values: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in known:
                raise CoordinatorError("rollout.bad_policy", name=str(name)[:40], value=str(value)[:40])
            try:
                values[name] = value if not isinstance(value, str) else int(value) if known[name] else float(value)
            except ValueError as error:
                raise CoordinatorError("rollout.bad_policy", name=name, value=value[:40]) from error
        return dataclasses.replace(self, **values)


@dataclass(frozen=True)
class StagedPlan:
    """A rollout that goes on by itself."""

    stages: tuple[Stage, ...]
    canaries: tuple[str, ...]  # groups
    policy: Policy = Policy()

    def __post_init__(self) -> None:
        """Refuse stages that do not rise, and canaries that are nobody.

        Raises:
            CoordinatorError: ``rollout.bad_plan``.
        """
        percents = [s.percent for s in self.stages]
        if not percents or len(percents) > MAX_STAGES or percents != sorted(set(percents)) or percents[-1] > 100:
            raise CoordinatorError("rollout.bad_plan", plan=self.text, problem="each stage must reach more nodes")
        if percents[0] == 0 and not self.canaries:
            raise CoordinatorError("rollout.bad_plan", plan=self.text, problem="a canary stage needs --canary GROUP")
        if len(self.canaries) > MAX_GROUPS or any(len(g) > MAX_GROUP or not g.isprintable() for g in self.canaries):
            raise CoordinatorError("rollout.bad_plan", plan=self.text, problem="at most 64 groups of 60 characters")

    @property
    def text(self) -> str:
        """As ``read_stages`` reads it."""
        return ",".join(map(str, self.stages))

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"stages": self.text, "canaries": list(self.canaries), "policy": dataclasses.asdict(self.policy)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> StagedPlan:
        """Read ``document``."""
        return cls(read_stages(document["stages"]), tuple(document["canaries"]), Policy(**document["policy"]))

    def up_to(self, percent: int) -> StagedPlan:
        """The same plan, ended at a percentage."""
        kept = tuple(s for s in self.stages if s.percent < percent)
        return dataclasses.replace(self, stages=(*kept, Stage(percent, 0)))


def read_stages(text: str) -> tuple[Stage, ...]:
    """Read ``canary:24h,10%:48h,100%``; times in s, m, h or d.

    Raises:
        CoordinatorError: ``rollout.bad_plan``.
    """
    stages = []
    for part in text.split(","):
        found = _STAGE.fullmatch(part.strip())
        if found is None:
            raise CoordinatorError(
                "rollout.bad_plan", plan=text[:80], problem="a stage looks like canary:24h or 10%:2d"
            )
        reach, number, unit = found.groups()
        percent = 0 if reach == "canary" else int(reach[:-1])
        stay_s = int(number) * _UNIT_S[unit] if number else 0
        if stay_s > MAX_STAY.total_seconds() or (reach != "canary" and percent == 0):
            raise CoordinatorError("rollout.bad_plan", plan=text[:80], problem="1% to 100%, at most 365 days a stage")
        stages.append(Stage(percent, stay_s))
    return tuple(stages)


def read_plan_file(text: str) -> tuple[str, dict[str, Any]]:
    """Stages and policy settings of a plan file: TOML with ``stages = "…"`` and a table ``[policy]``.

    Raises:
        CoordinatorError: ``rollout.bad_plan``.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CoordinatorError("rollout.bad_plan", plan="", problem="the file is no TOML") from error
    stages, policy = found.pop("stages", USUAL), found.pop("policy", {})
    if found or not isinstance(stages, str) or not isinstance(policy, dict):
        raise CoordinatorError("rollout.bad_plan", plan="", problem='a plan file holds stages = "…" and [policy] alone')
    return stages, policy
