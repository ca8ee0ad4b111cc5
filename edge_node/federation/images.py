"""A site's labelled images as features, and which of them are kept for testing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_node.federation.local import Maps

_ONE_IN = 5  # groups that no training here sees
_SALT = "medmesh federation held out"


@dataclass(frozen=True)
class LabelledFeatures:
    """Images of one disease.

    Attributes:
        features: float32 [images, features], or the maps of a spatial head.
        names: the labels that this site tells apart, sorted; some may have no image.
        labels: int64 [images], indices of ``names``.
        held_out: bool [images], kept for testing.
    """

    features: NDArray[np.float32] | Maps
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    held_out: NDArray[np.bool_]


def held_out(groups: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Images of every fifth group in the order of hashes: whole patients, and the same ones in every run.

    With fewer than five groups nothing is held out: the site trains, and says that it cannot tell.
    """
    unique, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort([hashlib.sha256(f"{_SALT}:{g}".encode()).digest() for g in unique])
    chosen = np.zeros(len(unique), dtype=bool)
    chosen[order[_ONE_IN - 1 :: _ONE_IN]] = True
    return np.asarray(chosen[inverse], dtype=np.bool_)
