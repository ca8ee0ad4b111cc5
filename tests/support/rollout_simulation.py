"""A network in virtual time: nodes that poll every minute or every week, over lines, peers and sticks, some of which fail.

What is offered, what a node chooses and what the coordinator decides is the real code: ``plan``, ``choose``, ``evidence`` and
``staging``. Only nodes, wires and clock are played.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from coordinator.releases import evidence
from coordinator.releases.plan import ReleaseState, plan
from coordinator.releases.stages import StagedPlan
from coordinator.releases.staging import Counts, Decision, decide
from protocols.trust import Rollout, choose

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=30)
LOOK = timedelta(hours=4)
DISEASE, OLD, NEW = "malaria", "malaria@1", "malaria@2"
WEEK_MIN = 7 * 24 * 60


@dataclass
class Health:
    """What a node counts."""

    active: bool = True
    self_test: str = "passed"
    failures: int = 0
    outcomes: Counts = field(default_factory=Counts)


@dataclass
class Declined:
    reason: str


@dataclass
class Row:
    """What the coordinator holds of a node and one release."""

    node: str
    site: str
    groups: tuple[str, ...]
    last_seen: datetime | None = None
    health: Health | None = None
    decline: Declined | None = None


@dataclass
class Node:
    """A machine at a site.

    Attributes:
        every: between two polls.
        delay: how long news takes either way; peers a few hours, sticks days.
        fails: whether the new release does not pass its self-test here.
        unsure: share of its pictures that the old release is unsure about.
        a_day: pictures.
    """

    id: str
    site: str
    groups: tuple[str, ...]
    every: timedelta
    delay: timedelta
    fails: bool
    unsure: float
    a_day: float
    due: datetime = START
    active: str = OLD
    refused: bool = False
    since: datetime = START - timedelta(days=60)
    serial: int = 0

    def counts(self, now: datetime, rise: float) -> Counts:
        """What it has counted with its active release; drawn from nothing, so that a seed gives one answer."""
        pictures = int(self.a_day * (now - self.since) / timedelta(days=1))
        unsure = round(pictures * min(self.unsure + (rise if self.active == NEW else 0), 1))
        return Counts(recognised=pictures - unsure, unsure=unsure)


@dataclass
class World:
    """The coordinator with its nodes.

    Attributes:
        rise: how much more often the new release is unsure.
        told: called after each published document and each step.
    """

    nodes: list[Node]
    plan: StagedPlan
    rise: float = 0.0
    told: Callable[[World], None] = lambda _: None
    now: datetime = START
    stage: int = 0
    since: datetime = START
    paused: datetime | None = None
    ended: datetime | None = None
    decision: Decision = Decision("wait")  # noqa: RUF009, it is frozen
    history: list[tuple[int, str, int]] = field(default_factory=list)  # hours, what, nodes with the new release

    def __post_init__(self) -> None:
        self.documents: list[tuple[datetime, Rollout]] = []
        self.old = {n.id: Row(n.id, n.site, n.groups) for n in self.nodes}
        self.new = {n.id: Row(n.id, n.site, n.groups) for n in self.nodes}
        self.mail: list[tuple[datetime, str, Row, Row]] = []
        self.fresh: dict[str, datetime] = {}
        for node in self.nodes:
            self.old[node.id] = replace(
                self.old[node.id], last_seen=START, health=Health(outcomes=node.counts(START, 0))
            )
            self.new[node.id] = replace(self.new[node.id], last_seen=START)
        self.baseline = evidence.baseline([list(self.old.values())], {})
        self.publish("start")

    @property
    def percent(self) -> int:
        """How far it is offered."""
        return self.plan.stages[min(self.stage, len(self.plan.stages) - 1)].percent

    @property
    def holders(self) -> set[str]:
        """Nodes that use the new release."""
        return {n.id for n in self.nodes if n.active == NEW}

    def publish(self, what: str) -> None:
        """A new rollout document."""
        states = (
            ReleaseState(OLD, DISEASE, "released", 100, (), ""),
            ReleaseState(NEW, DISEASE, "paused" if self.paused else "released", self.percent, self.plan.canaries, ""),
        )
        self.documents.append((self.now, plan(states, len(self.documents) + 1, "simulated", ())))
        self.history.append((int((self.now - START) / timedelta(hours=1)), what, len(self.holders)))

    def run(self, longest: timedelta) -> World:
        """Until nothing is left to decide."""
        while self.ended is None and self.now < START + longest:
            self.now += STEP
            for node in self.nodes:
                if node.due <= self.now:
                    self.poll(node)
            if (self.now - START) % LOOK == timedelta(0):
                self.look()
            self.told(self)
        return self

    def poll(self, node: Node) -> None:
        """A node fetches the list that reached it, acts, and tells how it stands."""
        node.due = self.now + node.every
        document = next(d for at, d in reversed(self.documents) if at + node.delay <= self.now or d.serial == 1)
        if document.serial != node.serial:
            node.serial = document.serial
            chosen = choose(document, document.models[0], node.id, frozenset(node.groups), node.active, 0).release
            if chosen == NEW and node.fails:
                node.refused = True
            elif chosen is not None and chosen != node.active:
                node.active, node.since = chosen, self.now
        if node.delay:
            self.mail.append((self.now + node.delay, node.id, *self.heartbeat(node, self.now)))
        else:
            self.fresh[node.id] = self.now

    def heartbeat(self, node: Node, written: datetime) -> tuple[Row, Row]:
        """What it says of the old and the new release."""
        health = Health(outcomes=node.counts(written, self.rise))
        old = Row(node.id, node.site, node.groups, written, health if node.active == OLD else None)
        new = Row(node.id, node.site, node.groups, written, health if node.active == NEW else None)
        if node.refused:
            new.health, new.decline = Health(False, "refused", 1), Declined("self_test")
        return old, new

    def look(self) -> None:
        """What the coordinator's watch does."""
        for node in self.nodes:  # of a quick node's heartbeats only the last before the look counts
            if (written := self.fresh.pop(node.id, None)) is not None:
                self.old[node.id], self.new[node.id] = self.heartbeat(node, written)
        for letter in [m for m in self.mail if m[0] <= self.now]:
            _, node, self.old[node], self.new[node] = letter
        self.mail = [m for m in self.mail if m[0] > self.now]
        self.baseline = evidence.baseline([list(self.old.values())], self.baseline)
        if self.paused or self.ended:
            return
        stages, rows = self.plan.stages, list(self.new.values())
        found = evidence.witnesses(NEW, self.percent, self.plan.canaries, self.since, rows, self.baseline)
        last = self.stage + 1 == len(stages)
        self.decision = decide(stages[self.stage], last, self.now - self.since, found, self.plan.policy)
        if self.decision.act == "pause":
            self.paused = self.ended = self.now
            self.publish(f"pause {self.decision.reasons[0].code}")
        elif self.decision.act == "advance" and last:
            self.ended = self.now
        elif self.decision.act == "advance":
            self.stage, self.since = self.stage + 1, self.now
            self.publish(stages[self.stage].name)


def mixed_nodes(seed: int, count: int, failing: float, canaries: int = 20) -> list[Node]:
    """Polling between a minute and a week, even on a logarithmic scale; a tenth behind peers, a twentieth behind sticks."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        way = chance.random()
        delay_h = chance.uniform(24, 24 * 7) if way < 0.05 else chance.uniform(1, 24) if way < 0.15 else 0
        found.append(
            Node(
                id=f"{chance.getrandbits(64):016x}",
                site=f"site {number // 3}",
                groups=("canary",) if number < canaries else (),
                every=timedelta(minutes=WEEK_MIN ** chance.random()),
                delay=timedelta(hours=delay_h),
                fails=chance.random() < failing,
                unsure=chance.uniform(0.02, 0.15),
                a_day=chance.uniform(0.5, 20),
            )
        )
    return found
