"""What is believed of the sites' replies before they are combined. One bad reply is dropped and named; the round goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError
from protocols.federation.exchange import Arrays, Exchange, unpack_change
from protocols.federation.head import HeadShape

NORM_LIMIT = 4.0  # times the median: a larger change is dropped
NORM_CLIP = 2.0  # times the median: a larger one is shortened to it
METRICS = ("images", "score")  # of a reply to a training message
_LEAST_FOR_MEDIAN = 3  # replies; of two nobody can say which is the odd one


@dataclass(frozen=True)
class Reply:
    """What a site sent: raw arrays by key, and numbers by name."""

    site: str
    arrays: Arrays
    metrics: Mapping[str, object]


@dataclass(frozen=True)
class Update:
    """A reply that was believed.

    Attributes:
        site: who sent it.
        change: float64, flat.
        score: balanced accuracy that the site states for the head that it was sent, 0..1; None: it has no images to tell.
    """

    site: str
    change: NDArray[np.float64]
    score: float | None


@dataclass(frozen=True)
class Dropped:
    """A reply that was not: the site, and the error's code."""

    site: str
    code: str


@dataclass(frozen=True)
class Judgement:
    """The replies of one round."""

    kept: tuple[Update, ...]
    dropped: tuple[Dropped, ...]


def read_reply(reply: Reply, shape: HeadShape, exchange: Exchange) -> Update:
    """Check one reply by itself.

    Raises:
        ProtocolError: ``federation.reply_*``.
    """
    change = unpack_change(reply.arrays, shape, exchange)
    if set(reply.metrics) != set(METRICS):
        raise ProtocolError("federation.reply_keys")
    images = reply.metrics["images"]
    if type(images) is not int or not 0 < images <= 1_000_000:
        raise ProtocolError("federation.reply_count")
    return Update(reply.site, change, read_score(reply.metrics["score"]))


def read_score(value: object) -> float | None:
    """A stated balanced accuracy; negative: none.

    Raises:
        ProtocolError: ``federation.reply_score``.
    """
    if type(value) not in (int, float) or not isinstance(value, int | float) or not -1.0 <= value <= 1.0:
        raise ProtocolError("federation.reply_score")
    return None if value < 0 else float(value)


def judge(
    asked: Sequence[str],
    replies: Sequence[Reply],
    shape: HeadShape,
    exchange: Exchange,
    masks: Mapping[str, NDArray[np.bool_]],
) -> Judgement:
    """Sort out a round.

    Args:
        asked: the sites that were asked; whoever sent nothing is named too.
        replies: in the order of arrival.
        shape: of the head.
        exchange: the form that was agreed.
        masks: site -> the labels that it tells apart, bool [labels]; what it says of others is not listened to.
    """
    dropped: list[Dropped] = []
    read: list[Update] = []
    times = Counter(reply.site for reply in replies)
    for site in sorted(times):
        if site not in asked:
            dropped.append(Dropped(site, "federation.reply_unasked"))
        elif times[site] > 1:
            dropped.append(Dropped(site, "federation.reply_twice"))
    dropped += [Dropped(site, "federation.reply_silent") for site in asked if site not in times]
    for reply in replies:
        if reply.site in asked and times[reply.site] == 1:
            try:
                read.append(read_reply(reply, shape, exchange))
            except ProtocolError as error:
                dropped.append(Dropped(reply.site, error.code))
    kept, oversize = _bound_norms(_fill(read, masks, shape))
    return Judgement(tuple(kept), (*dropped, *oversize))


def _fill(updates: list[Update], masks: Mapping[str, NDArray[np.bool_]], shape: HeadShape) -> list[Update]:
    """Where a site does not tell a label apart it abstains: it counts as the median of those that do."""
    if all(masks[u.site].all() for u in updates):
        return updates
    whole = np.stack([u.change for u in updates])
    changes = whole[:, -shape.last :].reshape(len(updates), shape.features + 1, shape.labels)
    speaks = np.stack([masks[u.site] for u in updates])
    filled = changes.copy()
    for label in range(shape.labels):
        those = speaks[:, label]
        filled[~those, :, label] = np.median(changes[those, :, label], axis=0) if those.any() else 0.0
    whole[:, -shape.last :] = filled.reshape(len(updates), -1)  # the body knows no labels: there everybody speaks
    return [Update(u.site, row, u.score) for u, row in zip(updates, whole, strict=True)]


def _bound_norms(updates: list[Update]) -> tuple[list[Update], list[Dropped]]:
    """Drop changes far longer than the median, shorten those that are rather long."""
    if len(updates) < _LEAST_FOR_MEDIAN:
        return updates, []
    norms = [float(np.linalg.norm(u.change)) for u in updates]
    median = float(np.median(norms))
    kept, dropped = [], []
    for update, norm in zip(updates, norms, strict=True):
        if norm > NORM_LIMIT * median:
            dropped.append(Dropped(update.site, "federation.reply_norm"))
            continue
        factor = min(1.0, NORM_CLIP * median / norm) if norm > 0 else 1.0
        kept.append(Update(update.site, update.change * factor, update.score))
    return kept, dropped
