"""From what nodes reported of releases to what they say about one rollout. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from coordinator.releases.staging import Counts, State, Witness
from protocols.trust import bucket


class Outcomes(Protocol):
    """How many pictures ended how."""

    @property
    def recognised(self) -> int:
        """With an answer."""
        ...

    @property
    def unsure(self) -> int:
        """Without one."""
        ...

    @property
    def not_this_kind_of_image(self) -> int:
        """Foreign."""
        ...

    @property
    def poor_quality(self) -> int:
        """Not fit to be read."""
        ...


class Health(Protocol):
    """How a release does at a node, since it was activated there."""

    @property
    def active(self) -> bool:
        """Whether the node uses it."""
        ...

    @property
    def self_test(self) -> str:
        """``passed``, ``refused`` or ``none``."""
        ...

    @property
    def failures(self) -> int:
        """How often it gave no result where it should have."""
        ...

    @property
    def outcomes(self) -> Outcomes:
        """Its results."""
        ...


class Declined(Protocol):
    """Why a node does not use a release that it is offered."""

    @property
    def reason(self) -> str:
        """``worse_here``, ``self_test``, ``failed`` or ``by_hand``."""
        ...


class Standing(Protocol):
    """What a node's newest heartbeat says of one release."""

    @property
    def node(self) -> str:
        """Its id."""
        ...

    @property
    def site(self) -> str:
        """Where it stands; empty: unknown."""
        ...

    @property
    def groups(self) -> Collection[str]:
        """Groups of sites that it belongs to."""
        ...

    @property
    def last_seen(self) -> datetime | None:
        """When that was written; None: the node has never said anything."""
        ...

    @property
    def health(self) -> Health | None:
        """None: the node has not had the release."""
        ...

    @property
    def decline(self) -> Declined | None:
        """None: the node does not refuse it."""
        ...


def baseline(before: Sequence[Sequence[Standing]], kept: Mapping[str, Counts]) -> dict[str, Counts]:
    """What each node has counted with the release that it had before the one that is rolled out.

    Nodes stop telling of a release once they have left it, so the most that was ever heard is kept. A node that uses the
    model and has counted nothing yet stands here too.

    Args:
        before: standing of the model's earlier releases, the newest first.
        kept: what this said earlier.
    """
    found = dict(kept)
    for rows in reversed(before):  # the newest has the last word
        for row in rows:
            if row.health is None and row.decline is None:
                continue
            counts = _counts(row.health)
            if row.node not in found or counts.results > found[row.node].results:
                found[row.node] = counts
    return found


def witnesses(
    release: str,
    percent: int,
    groups: Iterable[str],
    since: datetime,
    standing: Iterable[Standing],
    before: Mapping[str, Counts],
) -> list[Witness]:
    """What each node says of ``release``.

    Args:
        release: model@version.
        percent: how far it is offered.
        groups: to which it is offered whatever the percentage.
        since: when the stage began.
        standing: of this release, one row a node.
        before: from ``baseline``.
    """
    canaries = frozenset(groups)
    found = []
    for row in standing:
        offered = bool(canaries.intersection(row.groups)) or bucket(row.node, release) < percent
        uses = row.node in before or row.health is not None or row.decline is not None
        state, candidate = _state(row, since), _counts(row.health)
        if state != "running":  # what fails again and again at one node counts as one node that failed
            candidate = replace(candidate, failures=0)
        found.append(
            Witness(
                node=row.node,
                site=row.site,
                is_reached=offered and (uses or row.last_seen is None),
                state=state,
                candidate=candidate,
                active=before.get(row.node, Counts()),
                last_seen=row.last_seen,
            )
        )
    return found


def _state(row: Standing, since: datetime) -> State:
    health, decline = row.health, row.decline
    if health is not None and health.self_test == "refused":
        return "failed"
    if health is not None and health.active:
        return "running"
    if decline is not None:
        return "failed" if decline.reason in ("self_test", "failed") else "declined"
    if health is not None and health.failures:
        return "failed"  # it crashed so often that the node went back
    return "waiting" if row.last_seen is not None and row.last_seen >= since else "silent"


def _counts(health: Health | None) -> Counts:
    if health is None:
        return Counts()
    said = health.outcomes
    return Counts(said.recognised, said.unsure, said.not_this_kind_of_image, said.poor_quality, health.failures)
