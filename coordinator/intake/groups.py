"""Who an image belongs to (patient, lesion, slide), so that nobody stands on both sides of a split."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError

NEAR_BITS = 4  # of 256: two photographs of one scene, not two scenes
_BLOCK = 512


def read_groups(path: Path, known: set[str], wrapper: str) -> dict[str, str]:
    """Read a ``file,group`` table (UTF-8 with or without BOM, else GB18030).

    Args:
        path: the table.
        known: names of all files that were in the set, rejected ones included.
        wrapper: a folder around the classes that the table may or may not name.

    Raises:
        CoordinatorError: ``intake.groups`` with the row and the reason.
    """

    def refuse(row: int, why: str) -> CoordinatorError:
        return CoordinatorError("intake.groups", path=path.name, row=row, why=why)

    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError as error:
            raise refuse(1, "the encoding is neither UTF-8 nor GB18030") from error
    reader = csv.DictReader(io.StringIO(text))
    header = [name.strip().lower() for name in reader.fieldnames or []]
    if "file" not in header or "group" not in header:
        raise refuse(1, "the header must hold the columns file and group")
    reader.fieldnames = header
    groups: dict[str, str] = {}
    for number, row in enumerate(reader, start=2):
        name = (row["file"] or "").strip().replace("\\", "/").removeprefix("./")
        name = name.removeprefix(wrapper) if name not in known else name
        group = (row["group"] or "").strip()
        if not group:
            raise refuse(number, "the group is empty")
        if name not in known:
            raise refuse(number, f"there is no file {name[:120]}")
        if groups.setdefault(name, group) != group:
            raise refuse(number, f"{name[:120]} stands in two groups")
    return groups


def near_duplicates(hashes: NDArray[np.uint8]) -> list[list[int]]:
    """Clusters of near-identical images by perceptual hash.

    Args:
        hashes: uint8 [images, 32], from ``images.perceptual_hash``.

    Returns:
        Index lists of two or more, each sorted.
    """
    words = np.ascontiguousarray(hashes).view(np.uint64)
    parent = list(range(len(words)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK]
        distance = np.bitwise_count(block[:, np.newaxis] ^ words[np.newaxis]).sum(axis=2)
        for a, b in np.argwhere(distance <= NEAR_BITS):
            if start + a < b:
                parent[root(start + int(a))] = root(int(b))
    clusters: dict[int, list[int]] = {}
    for i in range(len(words)):
        clusters.setdefault(root(i), []).append(i)
    return [c for c in clusters.values() if len(c) > 1]
