"""When a heartbeat is due: at once for what a release manager waits for, seldom for the rest, within a day's bytes. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from protocols.artifacts import canonical_json
from protocols.heartbeat import Heartbeat

EVERY = timedelta(hours=6)
GAP = timedelta(minutes=15)  # between heartbeats that only tell of new results
_GAP_URGENT = timedelta(seconds=5)
_BURST_BYTES = 25_000
_BYTES_A_DAY = 45_000  # with the burst, and a longest frame over it, 94 kB on the worst day
_HOLD = timedelta(minutes=1)  # after a failure, doubled with each


def gist(heartbeat: Heartbeat) -> str:
    """What a heartbeat says that may wait a while, as a digest; sizes, times and what waits say nothing new."""
    document = heartbeat.document()
    return _digest([document[name] for name in ("program", "releases", "declined", "catalogue")])


def urgent(heartbeat: Heartbeat) -> str:
    """What may not wait, as a digest: which releases are in use, which failed and which are declined."""
    releases = [[h.release, h.active, h.self_test, h.failures] for h in heartbeat.releases]
    return _digest([heartbeat.program, releases, heartbeat.document()["declined"]])


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]


class Schedule:
    """Remembers what was accepted last."""

    def __init__(self, gap: timedelta = GAP) -> None:
        """Args: gap: least time between heartbeats that only tell of new results."""
        self._gap = gap
        self._accepted: datetime | None = None
        self._gist = self._urgent = ""
        self._failures = 0
        self._hold_until: datetime | None = None
        self._allowance = float(_BURST_BYTES)
        self._counted: datetime | None = None

    def recall(self, accepted: datetime, gist_then: str, urgent_then: str) -> None:
        """What an earlier run of the program had accepted last."""
        self._accepted, self._gist, self._urgent = accepted, gist_then, urgent_then

    def is_due(self, heartbeat: Heartbeat, now: datetime) -> bool:
        """Whether it is to be sent now."""
        self._earn(now)
        if self._allowance <= 0 or (self._hold_until is not None and _between(now, self._hold_until)):
            return False
        if self._accepted is None or now < self._accepted:  # never, or the clock was put right
            return True
        silent = now - self._accepted
        if urgent(heartbeat) != self._urgent:
            return silent >= _GAP_URGENT
        if gist(heartbeat) != self._gist:
            return silent >= self._gap and self._allowance > _BURST_BYTES / 2
        return silent >= EVERY

    def accepted(self, heartbeat: Heartbeat, wire_bytes: int, now: datetime) -> None:
        """The coordinator has it."""
        self.recall(now, gist(heartbeat), urgent(heartbeat))
        self._allowance -= wire_bytes
        self._failures, self._hold_until = 0, None

    def failed(self, wire_bytes: int, now: datetime) -> None:
        """It could not be brought there, or was refused: the line has more important things to carry."""
        self._allowance -= wire_bytes
        self._hold_until = now + min(_HOLD * 2**self._failures, EVERY)
        self._failures = min(self._failures + 1, 10)

    def may_carry(self, now: datetime) -> bool:
        """Whether there are bytes left to bring what other nodes gave."""
        self._earn(now)
        return self._allowance > _BURST_BYTES / 2

    def carried(self, wire_bytes: int) -> None:
        """Another's was brought."""
        self._allowance -= wire_bytes

    def _earn(self, now: datetime) -> None:
        if self._counted is not None and now > self._counted:
            earned = (now - self._counted) / timedelta(days=1) * _BYTES_A_DAY
            self._allowance = min(self._allowance + earned, _BURST_BYTES)
        self._counted = now


def _between(now: datetime, until: datetime) -> bool:
    """Whether ``until`` is still to come, by a clock that may have been put back."""
    return now < until <= now + EVERY
