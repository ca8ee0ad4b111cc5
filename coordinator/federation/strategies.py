"""Flower's strategies, set up so that they work with few sites, and their memory for a checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, FedTrimmedAvg, MultiKrum
from numpy.typing import NDArray

from protocols.federation.choice import Strategy, krum, trim_fraction

WEIGHT = "weight"  # every site counts alike; how much a site's images count is part of its own loss
_ADAM_STEP = 0.003  # of a parameter a round; weights in shared coordinates are of the order of 0.01
_ADAM_TAU = 1e-4
_COMMON = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1, "weighted_by_key": WEIGHT}


def make(name: Strategy, proximity: float) -> FedAvg:
    """A strategy of Flower's; it never waits for sites by itself, since rounds here have a quorum and a deadline."""
    match name:
        case "fedprox":
            return FedProx(proximal_mu=proximity, **_COMMON)
        case "fedadam":
            return FedAdam(eta=_ADAM_STEP, tau=_ADAM_TAU, **_COMMON)
        case "median":
            return FedMedian(**_COMMON)
        case "trimmed":
            return FedTrimmedAvg(**_COMMON)
        case "multikrum":
            return MultiKrum(**_COMMON)


def suit(strategy: FedAvg, replies: int) -> None:
    """Set the numbers that depend on how many replies there are: Flower's trimmed mean trims nothing below five."""
    if isinstance(strategy, FedTrimmedAvg):
        strategy.beta = trim_fraction(replies)
    if isinstance(strategy, MultiKrum):
        numbers = krum(replies)
        strategy.num_malicious_nodes, strategy.num_nodes_to_select = numbers.malicious, numbers.selected


def memory(strategy: FedAvg) -> dict[str, NDArray[Any]]:
    """What a strategy remembers from round to round."""
    if not isinstance(strategy, FedAdam):
        return {}
    found = {"m": strategy.m_t or {}, "v": strategy.v_t or {}}
    return {f"{kind}.{key}": np.asarray(v) for kind, arrays in found.items() for key, v in arrays.items()}


def remember(strategy: FedAvg, kept: dict[str, NDArray[Any]]) -> None:
    """Put back what ``memory`` gave."""
    if isinstance(strategy, FedAdam) and kept:
        strategy.m_t = {k.removeprefix("m."): v for k, v in kept.items() if k.startswith("m.")}
        strategy.v_t = {k.removeprefix("v."): v for k, v in kept.items() if k.startswith("v.")}
