"""What a person's limits allow: window, metered link, monthly budget. Pure; times are local."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge_node.config import EdgeConfig
from edge_node.transfer.window import Window

Reason = Literal["window", "metered", "budget"]

_MOST_SPREAD_S = 600.0


@dataclass(frozen=True)
class Limits:
    """The settings that say when something big may be fetched; ``monthly_bytes`` 0: no budget."""

    window: Window | None = None
    metered: bool = False
    monthly_bytes: int = 0

    @classmethod
    def of(cls, config: EdgeConfig) -> Limits:
        """As the settings have them."""
        return cls(config.download_window, config.metered, config.monthly_mb * 1_000_000)


@dataclass(frozen=True)
class Postponed:
    """Nothing big may be fetched now, and why.

    Attributes:
        reason: the first limit that is in the way.
        retry_s: when it ends by itself, seconds from now; None: nobody knows.
        spread_s: to be added by chance, so that the nodes of a network do not all come at once.
    """

    reason: Reason
    retry_s: float | None = None
    spread_s: float = 0.0


@dataclass(frozen=True)
class Granted:
    """Something big may be fetched, for so many seconds; None: without end."""

    within_s: float | None = None


def automatic(limits: Limits, used_bytes: int, wanted_bytes: int, local: datetime) -> Granted | Postponed:
    """Whether a download that nobody asked for may begin."""
    if limits.metered:
        return Postponed("metered")
    if passes_budget(limits, used_bytes, wanted_bytes):
        return Postponed("budget")
    if limits.window is None:
        return Granted()
    if wait_s := limits.window.opens_in_s(local):
        return Postponed("window", wait_s, min(limits.window.length_s / 10, _MOST_SPREAD_S))
    return Granted(limits.window.closes_in_s(local))


def set_aside(limits: Limits, local: datetime) -> list[Reason]:
    """The limits that a download which a person asked for disregards."""
    reasons: list[Reason] = ["metered"] if limits.metered else []
    if limits.window is not None and limits.window.opens_in_s(local):
        reasons.append("window")
    return reasons


def passes_budget(limits: Limits, used_bytes: int, wanted_bytes: int) -> bool:
    """Whether the month's budget does not hold ``wanted_bytes`` more."""
    return bool(limits.monthly_bytes) and wanted_bytes > 0 and used_bytes + wanted_bytes > limits.monthly_bytes


def seconds_at(kbps: float, size_bytes: int) -> float:
    """How long so many bytes take at a rate in kbit/s."""
    return size_bytes / (kbps * 125)
