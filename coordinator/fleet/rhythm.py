"""Whether a node has gone quiet, judged by its own usual rhythm. Pure.

A clinic that connects every Monday is not late on Thursday, and a node that is always on is, after two days.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Literal

Staleness = Literal["fresh", "late", "lost", "never"]
LOOKED_BACK = timedelta(days=120)
_USUAL = 0.9  # the share of a node's pauses that counts as usual
_LEAST_PAUSES = 3
_UNKNOWN_DAYS = 7  # of a node about which too little is known
_FRESH, _LOST = 1.5, 3.0  # of the usual pause
_GRACE = timedelta(days=0.5), timedelta(days=1)  # heartbeats come every 6 h, and days are counted whole


def usual_pause_days(heard: Sequence[date]) -> int:
    """The pause, whole days, that nine of ten of a node's pauses keep within; ``heard``: days, ascending."""
    pauses = sorted((after - before).days for before, after in pairwise(heard))
    if len(pauses) < _LEAST_PAUSES:
        return _UNKNOWN_DAYS
    return max(pauses[min(int(_USUAL * len(pauses)), len(pauses) - 1)], 1)


def staleness(heard: Sequence[date], last_seen: datetime | None, now: datetime) -> Staleness:
    """How a node's silence is to be taken.

    Args:
        heard: days on which it was heard of, ascending.
        last_seen: None: never.
        now: the present.
    """
    if last_seen is None:
        return "never"
    usual, silent = timedelta(days=usual_pause_days(heard)), now - last_seen
    if silent <= usual * _FRESH + _GRACE[0]:
        return "fresh"
    return "late" if silent <= usual * _LOST + _GRACE[1] else "lost"
