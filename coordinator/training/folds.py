"""Which group is tested when: by hash of the group key, so that a group keeps its place as the data grows."""

from __future__ import annotations

import hashlib
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError

_TRIES = 50


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


def dealt(labels: NDArray[np.int64], groups: NDArray[np.str_], folds: int, salt: int) -> NDArray[np.int64]:
    """Assignment for data with many classes or few groups: each class's groups, in the order of their hashes, are dealt
    to the folds like cards, rare classes first. Less stable as data grows than ``assign``, but sound wherever possible.
    """
    unique, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort([hashlib.sha256(f"{salt}:{g}".encode()).digest() for g in unique])
    holds = np.zeros((len(unique), int(labels.max()) + 1), dtype=bool)
    holds[inverse, labels] = True
    fold_of = np.full(len(unique), -1)
    for label in np.argsort(holds.sum(axis=0), kind="stable"):
        used = np.bincount(fold_of[holds[:, label] & (fold_of >= 0)], minlength=folds)
        for group in order:
            if holds[group, label] and fold_of[group] < 0:
                fold_of[group] = int(np.argmin(used))
                used[fold_of[group]] += 1
    return np.asarray(fold_of, dtype=np.int64)[inverse]


def plans(
    labels: NDArray[np.int64], groups: NDArray[np.str_], folds: int, repeats: int, first_salt: int = 0
) -> list[NDArray[np.int64]]:
    """``repeats`` different assignments, each with every class on both sides of every fold.

    By hash where a few tries find one; else dealt; else with fewer folds, never fewer than two.

    Raises:
        CoordinatorError: ``train.too_few_groups`` where no sound assignment exists.
    """
    for k in range(folds, 1, -1):
        salts = range(first_salt, first_salt + _TRIES)
        ways = ((assign(groups, k, s) for s in salts), (dealt(labels, groups, k, s) for s in salts))
        for tried in ways:
            found = list(islice((p for p in tried if len(np.unique(p)) == k and sound(labels, p)), repeats))
            if len(found) == repeats:
                return found
    raise CoordinatorError("train.too_few_groups", groups=len(np.unique(groups)))
