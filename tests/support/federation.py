"""Sites and the lines to them, in memory: honest ones, hostile ones, and ones that come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from numpy.typing import NDArray

from edge_node.federation.client_app import make_app
from edge_node.federation.images import LabelledFeatures, held_out
from protocols.errors import ProtocolError
from protocols.federation import flower
from protocols.federation.exchange import Arrays
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject

SUBJECT = Subject("malaria", "a" * 64, ("mixed7_avg",))
LABELS = ("ill", "well")
FEATURES = 40


def drawn_site(
    seed: int, images: int = 60, ill: float = 0.5, labels: tuple[str, ...] = LABELS, features: int = FEATURES
) -> LabelledFeatures:
    """Images of one drawn disease as a site would have them; sites differ by camera (an offset) and by share of ill."""
    generator = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(len(labels), features))
    shares = [ill, *[(1 - ill) / (len(labels) - 1)] * (len(labels) - 1)]
    numbers = generator.choice(len(labels), images, p=shares)
    camera = generator.normal(0, 0.3, features)
    values = generator.normal(0, 2.0, (images, features)) + directions[numbers] + camera
    groups = np.array([f"patient {i // 2}" for i in range(images)])
    return LabelledFeatures(values.astype(np.float32), labels, numbers, held_out(groups))


def balanced(sites: Iterable[LabelledFeatures], head: Head, standard: Standard) -> float:
    """Balanced accuracy over the sites' held-out images together."""
    right = [(s.labels[s.held_out], head.logits(standard.apply(s.features[s.held_out])).argmax(axis=1)) for s in sites]
    truth, said = (np.concatenate([r[i] for r in right]) for i in (0, 1))
    return float(np.mean([(said[truth == c] == c).mean() for c in np.unique(truth)]))


@dataclass
class FixedSite:
    """A site with its images in memory; None: it does not take part."""

    found: LabelledFeatures | None

    def features(self, subject: Subject) -> LabelledFeatures:
        if self.found is None:
            raise ProtocolError("federation.no_images")
        return self.found


def app_of(site: FixedSite) -> ClientApp:
    return make_app(lambda _: site, np.random.default_rng(0))


Mischief = Callable[[Message], Sequence[Message]]  # what is sent in place of an honest reply to a training message


def altered(change: Callable[[Arrays], Arrays], **metrics: Any) -> Mischief:
    """Replies with other arrays, and other numbers where given."""

    def mischief(reply: Message) -> Sequence[Message]:
        arrays = change(flower.arrays_of(reply.content.array_records["arrays"]))
        numbers = {**reply.content.metric_records["metrics"], **metrics}
        reply.content = flower.records(arrays={"arrays": arrays}, metrics={"metrics": numbers})
        return [reply]

    return mischief


def _with(arrays: Arrays, weights: NDArray[Any]) -> Arrays:
    return {**arrays, "weights": weights.astype(arrays["weights"].dtype)}


MISCHIEFS: dict[str, tuple[Mischief, str]] = {
    "NaN": (altered(lambda a: _with(a, a["weights"] * np.nan)), "federation.reply_not_finite"),
    "boosted": (altered(lambda a: {k: (v * 20).astype(v.dtype) for k, v in a.items()}), "federation.reply_norm"),
    "wrong shape": (altered(lambda a: {**a, "weights": a["weights"][:-1]}), "federation.reply_shape"),
    "wrong dtype": (altered(lambda a: {**a, "weights": a["weights"].astype(np.float64)}), "federation.reply_dtype"),
    "extra key": (altered(lambda a: {**a, "more": a["bias"]}), "federation.reply_keys"),
    "1e12 examples": (altered(lambda a: a, images=10**12), "federation.reply_count"),
    "silence": (lambda _: [], "federation.reply_silent"),
    "two replies": (lambda reply: [reply, reply], "federation.reply_twice"),
}


@dataclass
class Member:
    """A site on the grid.

    Attributes:
        app: its ClientApp.
        mischief: what it sends in place of its replies to training messages.
        rounds: the training messages, counted from 1, in which it is there; None: all.
    """

    app: ClientApp
    mischief: Mischief | None = None
    is_there: Callable[[int], bool] = lambda _: True


class MemoryGrid(Grid):
    """A Flower Grid whose sites live in this process; messages pass through Flower's own serialisation."""

    def __init__(self, members: dict[int, Member]) -> None:
        flower.identify(1, flower.COORDINATOR)
        flower.hush()
        self.members = members
        self.trained = 0  # training rounds so far
        self.bytes = {"up": 0, "down": 0}
        self.seen: list[bytes] = []

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        return [node for node, member in self.members.items() if member.is_there(self.trained + 1)]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies: list[Message] = []
        asked = list(messages)
        for message in asked:
            node = message.metadata.dst_node_id
            member = self.members[node]
            context = Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
            reply = member.app(message, context)
            if member.mischief is not None and message.metadata.message_type == "train" and reply.has_content():
                replies += member.mischief(reply)
            else:
                replies.append(reply)
        if asked and asked[0].metadata.message_type == "train":
            self.trained += 1
        return replies
