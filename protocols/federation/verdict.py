"""What a federated head is worth: against its start, and against each site's own head, on images that no training saw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from protocols.errors import ProtocolError
from protocols.federation.guard import read_score

START, SHARED = "start", "shared"
Finding = Literal["better", "worse", "unknown"]
_MOST_OF_MEDIAN = 4.0  # a site's held-out images count for at most so many times the median site's


@dataclass(frozen=True)
class SiteScores:
    """What one site states.

    Attributes:
        images: held out there, coarsely.
        scores: balanced accuracy by head; None where the site cannot tell.
    """

    images: int
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class HeadScore:
    """One head over the sites that could score it: mean by their images, the lowest, and the site that it is at."""

    mean: float
    lowest: float
    worst_site: str
    sites: int

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "mean": round(self.mean, 4),
            "min": round(self.lowest, 4),
            "worst_site": self.worst_site,
            "sites": self.sites,
        }


@dataclass(frozen=True)
class Verdict:
    """The comparison.

    Attributes:
        heads: name -> score; the names of sites stand for the heads that they made alone.
        best_site: whose own head is best over all sites; None: no site made one.
        finding: whether the shared head is better than that one.
        gained: whether it is better than the start.
        personal: site -> (its own head's score there, the shared one's), where its own is better.
    """

    heads: Mapping[str, HeadScore]
    best_site: str | None
    finding: Finding
    gained: bool
    personal: Mapping[str, tuple[float, float]]

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        best = None if self.best_site is None else {"site": self.best_site, **self.heads[self.best_site].document()}
        return {
            "global": self.heads[SHARED].document() if SHARED in self.heads else None,
            "start": self.heads[START].document() if START in self.heads else None,
            "best_single_site": best,
            "against_best_site": self.finding,
            "personalised": {
                site: {"own": round(own, 4), "global": round(shared, 4)}
                for site, (own, shared) in self.personal.items()
            },
        }


def read_scores(metrics: Mapping[str, object], heads: int) -> tuple[int, list[float | None]]:
    """A site's reply to an evaluation, from a stranger.

    Raises:
        ProtocolError: ``federation.reply_keys``, ``…_count`` or ``…_score``.
    """
    if set(metrics) != {"images", "scores"}:
        raise ProtocolError("federation.reply_keys")
    images, scores = metrics["images"], metrics["scores"]
    if type(images) is not int or not 0 <= images <= 1_000_000:
        raise ProtocolError("federation.reply_count")
    if not isinstance(scores, list) or len(scores) != heads:
        raise ProtocolError("federation.reply_score")
    return images, [read_score(s) for s in scores]


def weigh(sites: Mapping[str, SiteScores]) -> Verdict:
    """Compare the heads over all sites."""
    telling = {name: s for name, s in sites.items() if s.images}
    median = float(np.median([s.images for s in telling.values()])) if telling else 0.0
    weight = {name: min(s.images, _MOST_OF_MEDIAN * median) for name, s in telling.items()}
    names = sorted({head for s in telling.values() for head in s.scores})
    heads: dict[str, HeadScore] = {}
    for head in names:
        found = {site: score for site, s in telling.items() if (score := s.scores.get(head)) is not None}
        if found:
            worst = min(found, key=lambda site: (found[site], site))
            mean = float(np.average(list(found.values()), weights=[weight[site] for site in found]))
            heads[head] = HeadScore(mean, found[worst], worst, len(found))
    alone = [head for head in heads if head not in (START, SHARED)]
    best = max(alone, key=lambda head: (heads[head].mean, head)) if alone else None
    personal = {}
    for site, said in telling.items():
        own, shared = said.scores.get(site), said.scores.get(SHARED)
        if own is not None and shared is not None and own > shared:
            personal[site] = (own, shared)
    finding: Finding = "unknown"
    if SHARED in heads and best is not None:
        finding = "better" if heads[SHARED].mean >= heads[best].mean else "worse"
    gained = SHARED in heads and START in heads and heads[SHARED].mean >= heads[START].mean
    return Verdict(heads, best, finding, gained, personal)


def scores_bytes(sites: Mapping[str, SiteScores]) -> bytes:
    """What the sites state, to be kept."""
    return json.dumps({site: {"images": s.images, "scores": dict(s.scores)} for site, s in sites.items()}).encode()


def read_scores_bytes(data: bytes) -> dict[str, SiteScores]:
    """Read ``scores_bytes``."""
    return {site: SiteScores(row["images"], row["scores"]) for site, row in json.loads(data).items()}
