"""After the last round: every site makes a head alone, and every head is scored on every site's held-out images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from coordinator.federation.checkpoint import State
from coordinator.federation.rounds import Plan, config_of, reply_of
from protocols.errors import ProtocolError
from protocols.federation import flower
from protocols.federation.exchange import pack_head, pack_standard
from protocols.federation.guard import read_reply
from protocols.federation.head import Head
from protocols.federation.verdict import SHARED, START, SiteScores, Verdict, read_scores, weigh

_log = logging.getLogger("medmesh.federation")
_HEADS_A_MESSAGE = 8
_BYTES_A_MESSAGE = 2_000_000


class Comparison:
    """Asks the sites. Blocking."""

    def __init__(self, grid: Grid, plan: Plan, name_of: Callable[[int], str]) -> None:
        self._grid = grid
        self._plan = plan
        self._name_of = name_of

    def run(self, state: State) -> tuple[Verdict, dict[str, Head]]:
        """The verdict, and the heads that sites made alone. Sites that say nothing or nonsense are left out."""
        scores, alone = self.scores(state)
        return weigh(scores), alone

    def scores(self, state: State) -> tuple[dict[str, SiteScores], dict[str, Head]]:
        """What the sites state, and the heads that they made alone."""
        present = {n: s for n in self._grid.get_node_ids() if (s := self._name_of(n)) in state.sites}
        alone = self._alone(state, present) if present else {}
        heads = {SHARED: state.head, START: state.anchor, **alone}
        names = list(heads)
        found: dict[str, SiteScores] = {}
        most = max(1, min(_HEADS_A_MESSAGE, _BYTES_A_MESSAGE // (2 * state.head.flat().size)))
        for start in range(0, len(names), most):
            chunk = names[start : start + most]
            for site, (images, scores) in self._scored(state, present, [heads[n] for n in chunk]).items():
                before = found.get(site, SiteScores(images, {}))
                found[site] = SiteScores(images, {**before.scores, **dict(zip(chunk, scores, strict=True))})
        return found, alone

    def _alone(self, state: State, present: Mapping[int, str]) -> dict[str, Head]:
        found: dict[str, Head] = {}
        for answer in self._send(state, present, [state.anchor], "train.alone"):
            site = self._name_of(answer.metadata.src_node_id)
            try:
                update = read_reply(reply_of(answer, site), state.head.shape, self._plan.exchange)
            except ProtocolError as error:
                _log.info("%s made no head of its own: %s", site, error.code)
                continue
            found[site] = state.anchor.like(state.anchor.flat() + update.change)
        return found

    def _scored(
        self, state: State, present: Mapping[int, str], heads: Sequence[Head]
    ) -> dict[str, tuple[int, list[float | None]]]:
        found = {}
        for answer in self._send(state, present, heads, "evaluate"):
            site = self._name_of(answer.metadata.src_node_id)
            if answer.has_error() or set(answer.content.metric_records) != {"metrics"}:
                continue
            try:
                found[site] = read_scores(dict(answer.content.metric_records["metrics"]), len(heads))
            except ProtocolError as error:
                _log.warning("%s scored nothing: %s", site, error.code)
        return found

    def _send(self, state: State, present: Mapping[int, str], heads: Sequence[Head], kind: str) -> list[Message]:
        if not present:
            return []
        arrays: dict[str, Any] = {f"h{i:02}": pack_head(head) for i, head in enumerate(heads)}
        content = flower.records(
            arrays={**arrays, "standard": pack_standard(self._plan.standard)},
            configs={"config": config_of(self._plan, state, present)},
        )
        messages = [Message(content, dst_node_id=node, message_type=kind) for node in sorted(present)]
        return list(self._grid.send_and_receive(messages, timeout=self._plan.deadline_s))
