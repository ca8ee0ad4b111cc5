"""How long to wait before the next attempt. Pure."""

from __future__ import annotations

FIRST_S = 1.0
MOST_S = 300.0


def delay_s(failures: int, chance: float) -> float:
    """Seconds to wait after ``failures`` attempts in a row: doubling, spread over 50-100 % so that nodes do not march
    in step after an outage.

    Args:
        failures: at least 1.
        chance: uniform in 0..1.
    """
    ceiling = min(FIRST_S * 2.0 ** min(failures - 1, 30), MOST_S)
    return ceiling * (0.5 + chance / 2)
