"""Bytes against balanced accuracy: which heads are worth their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """A head that was tried: its size, and its out-of-fold balanced accuracy with bounds where there are any."""

    name: str
    size_bytes: int
    accuracy: float
    low: float | None
    high: float | None
    chosen: bool = False

    def document(self, on_frontier: bool) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.name,
            "bytes": self.size_bytes,
            "balanced_accuracy": round(self.accuracy, 4),
            "low": None if self.low is None else round(self.low, 4),
            "high": None if self.high is None else round(self.high, 4),
            "frontier": on_frontier,
            "chosen": self.chosen,
        }


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no smaller or equally large head beats, by size."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.size_bytes, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def document(points: Sequence[Point]) -> list[dict[str, Any]]:
    """All points by size, each saying whether it lies on the frontier; of two that are alike one does."""
    best = frontier(points)
    return [p.document(any(p is b for b in best)) for p in sorted(points, key=lambda p: (p.size_bytes, -p.accuracy))]
