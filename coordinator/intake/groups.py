"""Who an image belongs to (patient, lesion, slide), so that nobody stands on both sides of a split."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.intake.archive import shown

NEAR_BITS = 4  # of 256: two photographs of one scene, not two scenes
MAX_GROUP = 200  # characters
MAX_TABLE_BYTES = 64_000_000
_PAIRS = 2_000_000  # distances that are held at once
_ALONE = "image:"  # starts the group of an image that nothing is known of


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

    if path.stat().st_size > MAX_TABLE_BYTES:
        raise refuse(1, f"the table is larger than {MAX_TABLE_BYTES // 1_000_000} MB")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError as error:
            raise refuse(1, "the encoding is neither UTF-8 nor GB18030") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    # A Mac writes é as two characters into zips, and people type it as one.
    composed = {unicodedata.normalize("NFC", name): name for name in known}
    groups: dict[str, str] = {}
    try:
        header = [name.strip().lower() for name in reader.fieldnames or []]
        if "file" not in header or "group" not in header:
            raise refuse(1, "the header must hold the columns file and group")
        reader.fieldnames = header
        for row in reader:
            number = reader.line_num
            given = unicodedata.normalize("NFC", (row["file"] or "").strip().replace("\\", "/").removeprefix("./"))
            name = composed.get(given) or composed.get(given.removeprefix(unicodedata.normalize("NFC", wrapper)))
            group = (row["group"] or "").strip()
            if not group:
                raise refuse(number, "the group is empty")
            if len(group) > MAX_GROUP:
                raise refuse(number, f"the group has more than {MAX_GROUP} characters")
            if name is None:
                raise refuse(number, f"there is no file {shown(given)}")
            if groups.setdefault(name, group) != group:
                raise refuse(number, f"{shown(name)} stands in two groups")
    except csv.Error as error:
        raise refuse(reader.line_num + 1, "the row is no CSV") from error
    return groups


def alone(sha256: str) -> str:
    """The group of an image of which nothing is known but itself."""
    return f"{_ALONE}{sha256[:16]}"


def settle(groups: Sequence[str], earlier: int, clusters: Sequence[Sequence[int]]) -> list[str]:
    """Bring near-duplicates into one group, so that they never straddle a split.

    Groups that a person or a file gave stay; images alone join them. Where only images alone are alike, those of earlier
    imports keep their group, so that a split does not change as data grows.

    Args:
        groups: of each image, those of earlier imports first.
        earlier: how many those are.
        clusters: index lists from ``near_duplicates``.

    Returns:
        The groups after that.
    """
    joins: dict[str, str] = {}

    def now(group: str) -> str:
        while group in joins:
            group = joins[group]
        return group

    for cluster in clusters:
        candidates = sorted((now(groups[i]).startswith(_ALONE), i >= earlier, now(groups[i])) for i in cluster)
        target = candidates[0][2]
        for i in cluster:
            group = now(groups[i])
            if group != target and group.startswith(_ALONE):
                joins[group] = target
    return [now(group) for group in groups]


def cluster_of(hashes: NDArray[np.uint8], image: int) -> list[int]:
    """The images that ``near_duplicates`` would put together with one of them, itself among them; quick among very many.

    Args:
        hashes: uint8 [images, 32].
        image: an index.
    """
    words = np.ascontiguousarray(hashes).view(np.uint64)
    found = np.zeros(len(words), dtype=bool)
    found[image] = True
    newest = np.array([image])
    while len(newest):
        near = [np.bitwise_count(words[i] ^ words).sum(axis=1) <= NEAR_BITS for i in newest]
        newest = np.flatnonzero(np.any(near, axis=0) & ~found)
        found[newest] = True
    return [int(i) for i in np.flatnonzero(found)]


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

    step = max(1, _PAIRS // max(len(words), 1))
    for start in range(0, len(words), step):
        block = words[start : start + step]
        distance = np.bitwise_count(block[:, np.newaxis] ^ words[np.newaxis]).sum(axis=2)
        for a, b in np.argwhere(distance <= NEAR_BITS):
            if start + a < b:
                parent[root(start + int(a))] = root(int(b))
    clusters: dict[int, list[int]] = {}
    for i in range(len(words)):
        clusters.setdefault(root(i), []).append(i)
    return [c for c in clusters.values() if len(c) > 1]
