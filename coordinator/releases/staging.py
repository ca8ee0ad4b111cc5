"""Whether a rollout goes on, waits or stops, from what the nodes say. Pure.

Bad news stops a rollout at any time, whoever brings it and however late. Good news moves it on; silence never does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from coordinator.releases.proportions import newcombe, standardised, wilson
from coordinator.releases.stages import Policy, Stage

State = Literal["silent", "waiting", "running", "failed", "declined"]
RATES = ("unsure", "not_this_kind_of_image", "poor_quality", "failures")


@dataclass(frozen=True)
class Counts:
    """What a node counted with one release since it was activated there."""

    recognised: int = 0
    unsure: int = 0
    not_this_kind_of_image: int = 0
    poor_quality: int = 0
    failures: int = 0

    @property
    def results(self) -> int:
        """Pictures that were answered, whatever the answer."""
        return self.recognised + self.unsure + self.not_this_kind_of_image + self.poor_quality

    def rate(self, name: str) -> tuple[int, int]:
        """Hits and trials of one of ``RATES``; a failure is a trial that gave no result."""
        return getattr(self, name), self.results + (self.failures if name == "failures" else 0)

    def less(self, other: Counts) -> Counts:
        """What came after ``other``; everything where the node began anew since."""
        if any(getattr(self, n) < getattr(other, n) for n in ("recognised", *RATES)):
            return self
        return Counts(*(getattr(self, n) - getattr(other, n) for n in ("recognised", *RATES)))


@dataclass(frozen=True)
class Witness:
    """What one node says.

    Attributes:
        node: its id.
        site: where it stands; empty: unknown.
        is_reached: the stage offers the release to it, and it uses the model or has never said what it uses.
        state: silent: not heard since the stage began, and not known to have the release; waiting: heard, without it.
        candidate: counts with the release that is rolled out.
        active: counts with the release before, at the same node.
        last_seen: when its newest word was written.
    """

    node: str
    site: str
    is_reached: bool
    state: State
    candidate: Counts = Counts()
    active: Counts = Counts()
    last_seen: datetime | None = None

    @property
    def has_tried(self) -> bool:
        """Whether the release came so far that it could fail."""
        return self.state in ("running", "failed", "declined")


@dataclass(frozen=True)
class Reason:
    """Why; the figures fill the sentence of this code in ``stage_texts``."""

    code: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Decision:
    """What to do now. At the last stage ``advance`` ends the watch."""

    act: Literal["advance", "wait", "pause"]
    reasons: tuple[Reason, ...] = ()
    is_overdue: bool = False  # the longest wait is over: a person should decide


def decide(stage: Stage, is_last: bool, time_in: timedelta, witnesses: Sequence[Witness], policy: Policy) -> Decision:
    """The decision for a rollout at ``stage`` since ``time_in``."""
    if stops := (*_failing(witnesses, policy), *_declining(witnesses, policy), *_worse(witnesses, policy)):
        return Decision("pause", stops)
    if is_last:
        left_s = policy.watch_h * 3600 - time_in.total_seconds()
        return Decision("wait", (Reason("watching", {"left_s": round(left_s)}),)) if left_s > 0 else Decision("advance")
    waits = (*_early(stage, time_in), *_too_few_nodes(stage, witnesses, policy), *_too_few_results(witnesses, policy))
    overdue = time_in > max(timedelta(hours=policy.longest_h), timedelta(seconds=stage.stay_s))
    return Decision("wait", waits, overdue) if waits else Decision("advance")


def _failing(witnesses: Iterable[Witness], policy: Policy) -> Iterable[Reason]:
    """Nodes on which the release could not be brought into use, or did not pass its self-test."""
    tried = [w for w in witnesses if w.has_tried]
    failed = sorted(w.node for w in tried if w.state == "failed")
    low, high = wilson(len(failed), len(tried), policy.confidence)
    if low > policy.failures_allowed:
        yield _share("failed", failed, len(tried), (low, high), policy.failures_allowed)


def _declining(witnesses: Iterable[Witness], policy: Policy) -> Iterable[Reason]:
    """Sites that found it worse than what they have: nodes of one site judge by the same pictures, so they count once."""
    sites: dict[str, bool] = {}
    for witness in witnesses:
        if witness.has_tried:
            site = witness.site or witness.node
            sites[site] = sites.get(site, False) or witness.state == "declined"
    declined = sorted(site for site, does in sites.items() if does)
    low, high = wilson(len(declined), len(sites), policy.confidence)
    if low > policy.declines_allowed:
        yield _share("declined", declined, len(sites), (low, high), policy.declines_allowed)


def _share(code: str, who: list[str], of: int, bounds: tuple[float, float], allowed: float) -> Reason:
    low, high = (round(b, 4) for b in bounds)
    return Reason(code, {"count": len(who), "of": of, "low": low, "high": high, "allowed": allowed, "who": who[:20]})


def _worse(witnesses: Sequence[Witness], policy: Policy) -> Iterable[Reason]:
    """Rates that rose against the release before, at the nodes that have counted with both."""
    for name in RATES:
        hits, trials, other_hits, other_trials = standardised(
            [w.candidate.rate(name) for w in witnesses], [w.active.rate(name) for w in witnesses]
        )
        if min(trials, other_trials) < policy.compared_results:
            continue
        low, high = newcombe(hits, trials, other_hits, other_trials, policy.confidence)
        if low > policy.rise_allowed:
            figures = {"rate": round(hits / trials, 4), "before": round(other_hits / other_trials, 4)}
            bounds = {"low": round(low, 4), "high": round(high, 4), "allowed": policy.rise_allowed}
            yield Reason(f"rose_{name}", {**figures, **bounds, "results": int(trials)})


def _early(stage: Stage, time_in: timedelta) -> Iterable[Reason]:
    left_s = stage.stay_s - time_in.total_seconds()
    if left_s > 0:
        yield Reason("time", {"left_s": round(left_s)})


def _too_few_nodes(stage: Stage, witnesses: Iterable[Witness], policy: Policy) -> Iterable[Reason]:
    reached = [w for w in witnesses if w.is_reached]
    running = sum(w.state == "running" for w in reached)
    needed = max(min(policy.least_nodes, len(reached)), 1)
    if stage.percent:
        needed = max(needed, math.ceil(policy.least_share * len(reached)))
    if not reached:
        yield Reason("nobody", {})
    elif running < needed:
        silent = sum(w.state == "silent" for w in reached)
        yield Reason("nodes", {"running": running, "needed": needed, "reached": len(reached), "silent": silent})


def _too_few_results(witnesses: Iterable[Witness], policy: Policy) -> Iterable[Reason]:
    have = sum(w.candidate.results for w in witnesses)
    if have < policy.least_results:
        yield Reason("results", {"have": have, "needed": policy.least_results})


# --- what a person has seen and accepted -------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What a node had said when a person let a paused rollout go on: it stops nothing a second time."""

    state: State
    candidate: Counts

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"state": self.state, **asdict(self.candidate)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Known:
        """Read ``document``."""
        return cls(document["state"], Counts(**{k: v for k, v in document.items() if k != "state"}))


def known(witnesses: Iterable[Witness]) -> dict[str, Known]:
    """Everything that nodes have said of the release so far."""
    return {w.node: Known(w.state, w.candidate) for w in witnesses if w.has_tried}


def unaccepted(witnesses: Iterable[Witness], accepted: Mapping[str, Known]) -> list[Witness]:
    """What is new since: a failure or a decline that was accepted counts as if the node had not tried yet.

    The release before keeps all its counts, since it gains none at the nodes that have left it.
    """
    found = []
    for witness in witnesses:
        before = accepted.get(witness.node)
        if before is not None:
            is_old = before.state in ("failed", "declined") and witness.state == before.state
            candidate = witness.candidate.less(before.candidate)
            witness = replace(witness, candidate=candidate, state="waiting" if is_old else witness.state)
        found.append(witness)
    return found
