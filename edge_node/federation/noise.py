"""Clipping and noise on what leaves a site. Plain arithmetic."""

from __future__ import annotations

import numpy as np

from protocols.federation.head import Head


def clipped(new: Head, shared: Head, longest: float) -> Head:
    """``new``, no farther from ``shared`` than ``longest`` (Euclidean, over all parameters)."""
    start, change = shared.flat(), new.flat() - shared.flat()
    norm = float(np.linalg.norm(change))
    return new if norm <= longest else shared.like(start + change * (longest / norm))


def noised(head: Head, deviation: float, generator: np.random.Generator) -> Head:
    """The head with Gaussian noise on every parameter."""
    flat = head.flat()
    return head.like(flat + generator.normal(0.0, deviation, flat.shape)) if deviation else head
