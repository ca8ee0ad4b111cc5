"""How many requests one sender may make. No clock: the time comes in. Memory is bounded."""

from __future__ import annotations

import ipaddress


class Buckets:
    """A token bucket for each key: ``per_s`` requests on and on, ``burst`` at once."""

    _MOST_KEYS = 8192

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, float(burst)
        self._levels: dict[str, tuple[float, float]] = {}  # what is left, and when that was; least lately used first

    def take(self, key: str, now_s: float) -> float:
        """Take one; returns how many seconds to wait, 0 where it was there. A refused request costs nothing."""
        if not self._per_s:
            return 0.0
        left, then = self._levels.pop(key, (self._burst, now_s))
        left = min(self._burst, left + max(0.0, now_s - then) * self._per_s)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._levels[key] = (left if wait else left - 1, now_s)
        while len(self._levels) > self._MOST_KEYS:
            self._levels.pop(next(iter(self._levels)))
        return wait


def sender(address: str) -> str:
    """Whom an address stands for: a holder of IPv6 has a whole /64 of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return str(found)
