"""Which group is tested when: by hash of the group key, so that a group keeps its place as the data grows."""

from __future__ import annotations

import hashlib
from itertools import count

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError

_TRIES = 200


def assign(groups: NDArray[np.str_], folds: int, salt: int) -> NDArray[np.int64]:
    """Fold number of each image; images of one group always share it."""
    unique, inverse = np.unique(groups, return_inverse=True)
    number = [int.from_bytes(hashlib.sha256(f"{salt}:{g}".encode()).digest()[:8]) % folds for g in unique]
    return np.asarray(number, dtype=np.int64)[inverse]


def sound(labels: NDArray[np.int64], fold_of: NDArray[np.int64]) -> bool:
    """Whether every class stands on both sides of every fold."""
    classes = set(labels.tolist())
    return all(
        set(labels[fold_of == f].tolist()) == classes and set(labels[fold_of != f].tolist()) == classes
        for f in np.unique(fold_of)
    )


def plans(
    labels: NDArray[np.int64], groups: NDArray[np.str_], folds: int, repeats: int, first_salt: int = 0
) -> list[NDArray[np.int64]]:
    """``repeats`` different assignments, each with every class on both sides of every fold.

    Small data may not allow as many folds; then fewer are used, never fewer than two.

    Raises:
        CoordinatorError: ``train.too_few_groups`` where no sound assignment exists.
    """
    for k in range(folds, 1, -1):
        found: list[NDArray[np.int64]] = []
        for salt in count(first_salt):
            fold_of = assign(groups, k, salt)
            if len(np.unique(fold_of)) == k and sound(labels, fold_of):
                found.append(fold_of)
            if len(found) == repeats:
                return found
            if salt - first_salt >= _TRIES:
                break
    raise CoordinatorError("train.too_few_groups", groups=len(np.unique(groups)))
