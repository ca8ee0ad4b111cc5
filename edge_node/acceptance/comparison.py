"""The figures of a comparison of two releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["worse", "not_worse", "too_few"]


@dataclass(frozen=True)
class Comparison:
    """What the images say.

    Attributes:
        verdict: ``too_few`` is no verdict: nothing speaks against the candidate.
        candidate, active: balanced accuracy over the labels that count; None where there are too few images.
        low, high: 95 % interval of candidate minus active.
        n, groups: images and groups (patients, cases) that counted.
    """

    verdict: Verdict
    candidate: float | None
    active: float | None
    low: float | None
    high: float | None
    n: int
    groups: int

    def document(self) -> dict[str, Any]:
        """The figures in JSON."""
        return {
            "candidate": self.candidate,
            "active": self.active,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "groups": self.groups,
        }

    @classmethod
    def nothing(cls) -> Comparison:
        """There was nothing to compare on."""
        return cls("too_few", None, None, None, None, 0, 0)
