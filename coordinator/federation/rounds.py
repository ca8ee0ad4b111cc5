"""The rounds of a federated run, over any Flower ``Grid``: ours over the mesh, one in memory, or Flower's own SuperLink.

Flower's strategies combine; around them stand the rules that they lack: replies are judged before they are believed, a round
has a quorum and a deadline, the state is kept after each, and a site that comes late or back joins the next one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from coordinator.federation import strategies
from coordinator.federation.checkpoint import Checkpoints, SiteRecord, State
from protocols.errors import ProtocolError, table
from protocols.federation import choice, flower
from protocols.federation.counts import agree, read_counts
from protocols.federation.exchange import Exchange, pack_head, pack_standard, unpack_head
from protocols.federation.guard import Dropped, Judgement, Reply, Update, judge
from protocols.federation.head import Head, Standard
from protocols.federation.labels import LabelSpace, read_labels, union
from protocols.federation.task import Subject, Training

_log = logging.getLogger("medmesh.federation")
MOST_FAILED = 3  # rounds in a row without a quorum end a run; what it has reached is kept
_POLL_S = 0.5


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes:
        subject: whose images are asked for.
        labels: of the model that is refined.
        standard: the shared coordinates.
        rounds: how many.
        strategy: how changes are combined; None: by the number of sites in each round.
        proximity: how strongly sites are held at the shared head.
        anchor: how strongly the shared head is held at the start, against the mean loss of the sites; divided by their
            images, so that many images move it far.
        exchange: form of the changes.
        clip, noise: for privacy; 0: none.
        everything: sites learn from their held-out images too, for the last rounds after the comparison.
        deadline_s: longest time for the answers of a round.
        gather_s: how long the first round waits for more sites than the fewest.
        wait_s: longest wait for a quorum to be there before a round.
        least_sites: fewest that make a run.
    """

    subject: Subject
    labels: tuple[str, ...]
    standard: Standard
    rounds: int
    strategy: choice.Strategy | None = None
    proximity: float = 10.0
    anchor: float = 1000.0
    exchange: Exchange = "float16"
    clip: float = 0.0
    noise: float = 0.0
    everything: bool = False
    deadline_s: float = 120.0
    gather_s: float = 0.0
    wait_s: float = 600.0
    least_sites: int = choice.LEAST_SITES


class Stopped(Exception):  # noqa: N818 - not a failure
    """Somebody asked to stop; the last checkpoint holds."""


class Rounds:
    """Runs rounds one after the other. Blocking; run it in a thread."""

    def __init__(
        self,
        grid: Grid,
        plan: Plan,
        checkpoints: Checkpoints,
        name_of: Callable[[int], str],
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        told: Callable[[State], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare.

        Args:
            grid: reaches the sites.
            plan: what to do.
            checkpoints: where the state is kept.
            name_of: a site's name by Flower's number of its node.
            is_stopped: asked between rounds and while waiting.
            told: the state after each round.
            sleep: passes the time while waiting.
        """
        self._grid = grid
        self._plan = plan
        self._checkpoints = checkpoints
        self._name_of = name_of
        self._is_stopped = is_stopped
        self._told = told
        self._sleep = sleep
        self._strategies: dict[choice.Strategy, Any] = {}

    def run(self, start: Head) -> State:
        """All rounds, from the last checkpoint on if there is one.

        Raises:
            Stopped: between two rounds.
        """
        state = self._checkpoints.load() or State(0, 0, start, start, self._plan.labels)
        while state.round < self._plan.rounds and state.failed < MOST_FAILED:
            if self._is_stopped():
                raise Stopped
            self._round(state)
            self._checkpoints.save(state)
            self._told(state)
        return state

    def _round(self, state: State) -> None:
        """One round; changes ``state`` as a whole or counts as failed."""
        number = state.round + state.failed + 1
        present = self._present(state)
        self._widen(state, present)
        masks = _masks(state, present)
        present = {node: site for node, site in present.items() if site in masks}
        if len(present) < self._quorum(state):
            state.failed += 1
            state.history.append({"round": number, "state": "no quorum", "asked": len(present), "used": []})
            return
        name = self._plan.strategy or choice.automatic(len(present))
        strategy = self._strategy(name, state)
        arrays = flower.array_record(dict(state.head.arrays()))
        config = ConfigRecord(config_of(self._plan, state, present))
        nodes = _Present(sorted(present))
        messages = [
            self._dressed(m, state.head) for m in strategy.configure_train(state.round + 1, arrays, config, nodes)
        ]
        answers = list(self._grid.send_and_receive(messages, timeout=self._plan.deadline_s)) if messages else []
        if self._is_stopped():  # the lines may have gone because of it: this round says nothing about the sites
            raise Stopped
        replies = [reply_of(a, self._name_of(a.metadata.src_node_id)) for a in answers]
        judged = judge(sorted(present.values()), replies, state.head.shape, self._plan.exchange, masks)
        judged = Judgement(judged.kept, _with_reasons(judged.dropped, answers, self._name_of))
        _note(state, number, judged)
        if len(judged.kept) < self._quorum(state):
            state.failed += 1
            used: list[str] = []
        else:
            state.head = self._combined(strategy, state, judged.kept)
            state.memory = strategies.memory(strategy)
            state.round += 1
            state.failed = 0
            used = [u.site for u in judged.kept]
        state.history.append(
            {
                "round": number,
                "state": "done" if used else "no quorum",
                "strategy": name,
                "asked": len(present),
                "used": used,
                "dropped": [{"site": d.site, "code": d.code} for d in judged.dropped],
            }
        )

    def _quorum(self, state: State) -> int:
        """More than half of the sites that have ever answered usefully."""
        return max(self._plan.least_sites, choice.quorum(sum(1 for s in state.sites.values() if s.rounds)))

    def _present(self, state: State) -> dict[int, str]:
        """Sites that are there and have said what they have; waits for a quorum, but not for ever."""
        waited_s = 0.0
        while True:
            there = {node: self._name_of(node) for node in self._grid.get_node_ids()}
            if strangers := [node for node, site in there.items() if site not in state.sites]:
                self._ask(state, strangers)
            known = {node: site for node, site in there.items() if site in state.sites}
            has_gathered = state.round > 0 or waited_s >= self._plan.gather_s
            if (len(known) >= self._quorum(state) and has_gathered) or waited_s >= self._plan.wait_s:
                return known
            if self._is_stopped():
                raise Stopped
            self._sleep(_POLL_S)
            waited_s += _POLL_S

    def _ask(self, state: State, strangers: Sequence[int]) -> None:
        """Ask new sites what they have; who does not answer, or says nonsense, is asked again before the next round."""
        content = flower.records(configs={"config": self._plan.subject.document()})
        messages = [Message(content, dst_node_id=node, message_type="query") for node in strangers]
        for answer in self._grid.send_and_receive(messages, timeout=self._plan.deadline_s):
            site = self._name_of(answer.metadata.src_node_id)
            if answer.has_error():
                state.declined[site] = _code(answer)
                continue
            state.declined.pop(site, None)
            try:
                said = answer.content.config_records["site"]
                labels = read_labels(list(said["labels"]))
                counts = read_counts(list(said["counts"]), len(labels))
            except (KeyError, TypeError, ProtocolError):
                state.declined[site] = "federation.reply_labels"
                continue
            state.sites[site] = SiteRecord(labels, tuple(int(c) for c in counts))

    def _widen(self, state: State, present: Mapping[int, str]) -> None:
        """Take in labels that enough sites have: new columns of zeros, before any of them has spoken."""
        space = union(state.labels, {site: state.sites[site].labels for site in present.values()})
        state.left_out |= {site: list(out) for site, out in space.refused.items()}
        if added := len(space.labels) - len(state.labels):
            state.labels = space.labels
            state.head, state.anchor = _wider(state.head, added), _wider(state.anchor, added)
            state.memory = {}
            self._strategies.clear()

    def _strategy(self, name: choice.Strategy, state: State) -> Any:
        if name not in self._strategies:
            self._strategies[name] = strategies.make(name, self._plan.proximity)
            strategies.remember(self._strategies[name], state.memory)
        return self._strategies[name]

    def _dressed(self, message: Message, head: Head) -> Message:
        """The strategy's message with the head as it travels, and the shared coordinates."""
        content = flower.records(
            arrays={"arrays": pack_head(head), "standard": pack_standard(self._plan.standard)},
            configs={"config": dict(message.content.config_records["config"])},
        )
        return Message(content, dst_node_id=message.metadata.dst_node_id, message_type=message.metadata.message_type)

    def _combined(self, strategy: Any, state: State, kept: Iterable[Update]) -> Head:
        """The new shared head: the strategy's word on the changes, drawn back a little towards the start."""
        updates = list(kept)
        labels = len(state.labels)
        start = state.head.flat()
        strategies.suit(strategy, len(updates))
        replies = [_as_message(state.head.like(start + u.change)) for u in updates]
        combined, _ = strategy.aggregate_train(state.round + 1, replies)
        assert combined is not None
        arrays = flower.arrays_of(combined)
        new = Head.of_arrays({name: value.astype(np.float32) for name, value in arrays.items()}).flat()
        images = sum(float(_counts(state, u.site).sum()) for u in updates)
        pull = self._plan.anchor / max(images, 1.0)
        drawn = (self._plan.proximity * new + pull * state.anchor.flat()) / (self._plan.proximity + pull)
        drawn[-labels:] = new[-labels:]  # the bias is held by nothing: the classes' balance is the sites' own
        return unpack_head(pack_head(state.head.like(drawn)), state.head.shape.body)


def config_of(plan: Plan, state: State, present: Mapping[int, str]) -> dict[str, Any]:
    """What the sites are told beside the head."""
    weights, mean_images = agree([_counts(state, site) for site in sorted(set(present.values()))])
    training = Training(
        state.labels,
        tuple(float(w) for w in weights),
        max(mean_images, 1.0),
        plan.proximity,
        plan.exchange,
        plan.clip,
        plan.noise,
        plan.everything,
    )
    return {**plan.subject.document(), **training.document()}


def reply_of(answer: Message, site: str) -> Reply:
    """A Flower message as the guard reads it; one that is not even of the right kind is empty, and refused as such."""
    if answer.has_error():
        return Reply(site, {}, {})
    arrays, metrics = answer.content.array_records, answer.content.metric_records
    if set(arrays) != {"arrays"} or set(metrics) != {"metrics"}:
        return Reply(site, {}, {})
    try:
        return Reply(site, flower.arrays_of(arrays["arrays"]), dict(metrics["metrics"]))
    except (ValueError, TypeError, KeyError, EOFError):
        return Reply(site, {}, {})


@dataclass(frozen=True)
class _Present:
    """The sites of one round: all that a strategy asks of a grid when it writes its messages."""

    nodes: Sequence[int]

    def get_node_ids(self) -> Iterable[int]:
        return self.nodes


def _as_message(head: Head) -> Message:
    content = flower.records(arrays={"arrays": dict(head.arrays())}, metrics={"metrics": {strategies.WEIGHT: 1.0}})
    return Message(content, dst_node_id=flower.COORDINATOR, message_type="train")


def _masks(state: State, present: Mapping[int, str]) -> dict[str, NDArray[np.bool_]]:
    """Site -> the labels it tells apart; sites that have too few of them are left out, and told why."""
    space = LabelSpace(state.labels, {})
    found = {}
    for site in present.values():
        try:
            found[site] = space.mask(state.sites[site].labels)
        except ProtocolError as error:
            if (state.round, error.code) not in state.sites[site].dropped:
                state.sites[site].dropped.append((state.round, error.code))
    return found


def _counts(state: State, site: str) -> NDArray[np.float64]:
    """A site's coarse counts under the shared labels."""
    own = dict(zip(state.sites[site].labels, state.sites[site].counts, strict=True))
    return np.array([own.get(label, 0) for label in state.labels], dtype=np.float64)


def _wider(head: Head, added: int) -> Head:
    weights = np.concatenate([head.weights, np.zeros((len(head.weights), added), np.float32)], axis=1)
    return replace(head, weights=weights, bias=np.concatenate([head.bias, np.full(added, head.bias.min(), np.float32)]))


def _with_reasons(
    dropped: Iterable[Dropped], answers: Sequence[Message], name_of: Callable[[int], str]
) -> tuple[Dropped, ...]:
    """A site that said itself why it cannot is named with its reason."""
    said = {name_of(a.metadata.src_node_id): _code(a) for a in answers if a.has_error()}
    return tuple(
        Dropped(d.site, said[d.site]) if d.site in said and d.code != "federation.reply_twice" else d for d in dropped
    )


def _code(answer: Message) -> str:
    """Why a site says that it cannot; only codes of ours are repeated."""
    return answer.error.reason if answer.error.reason in table() else "federation.reply_declined"


def _note(state: State, number: int, judged: Judgement) -> None:
    for update in judged.kept:
        record = state.sites[update.site]
        record.rounds += 1
        record.score = record.score if update.score is None else update.score
    for drop in judged.dropped:
        if drop.site in state.sites:
            state.sites[drop.site].dropped.append((number, drop.code))
