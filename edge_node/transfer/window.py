"""The hours of a day in which automatic downloads may run. Pure; times are local and naive or aware, it is the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_FORM = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Window:
    """From ``opens_s`` until ``closes_s`` after midnight; past midnight where it closes before it opens."""

    opens_s: float
    closes_s: float

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``22:00-06:00``.

        Raises:
            ValueError: it is not two different times of day.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(text)
        hours, minutes, until_hours, until_minutes = map(int, match.groups())
        opens_s, closes_s = hours * 3600.0 + minutes * 60, until_hours * 3600.0 + until_minutes * 60
        if opens_s == closes_s:
            raise ValueError(text)
        return cls(opens_s, closes_s)

    def opens_in_s(self, local: datetime) -> float:
        """Seconds until it opens; 0 while it is open."""
        now_s = _since_midnight_s(local)
        is_open = (now_s - self.opens_s) % _DAY_S < self.length_s
        return 0.0 if is_open else (self.opens_s - now_s) % _DAY_S

    def closes_in_s(self, local: datetime) -> float:
        """Seconds until it closes the next time."""
        return (self.closes_s - _since_midnight_s(local)) % _DAY_S

    @property
    def length_s(self) -> float:
        """For how long it is open."""
        return (self.closes_s - self.opens_s) % _DAY_S


def _since_midnight_s(local: datetime) -> float:
    return local.hour * 3600.0 + local.minute * 60 + local.second + local.microsecond / 1e6
