"""Maps of images as the trunk computes them, kept on disk within a limit, read through memory maps.

Each map is stored as uint8, with one scale for each channel of each image: its maximum there. InceptionV3's mixed layers are
never negative, so nothing has to be fitted on any image, and a value is off by at most 1/510 of its channel's maximum in its
own image (docs/adr/0024).

A shard is one file of records of equal size; ``index.sqlite`` says which record holds what. Records are written, brought to
the disk and only then entered, so that a crash leaves no entry without its record. Whole shards are dropped, the least
recently used first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import CoordinatorError
from coordinator.training.modality import Modality
from coordinator.training.views import key_of
from protocols.imaging import PREPARE_VERSION
from protocols.spatial.maps import quantised

SHARD_RECORDS = 128
SPARE_BYTES = 1024**3  # of the disk, left alone
_FORMAT = 1  # rises when a record holds something else
_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (
    number INTEGER PRIMARY KEY AUTOINCREMENT, space TEXT NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL,
    channels INTEGER NOT NULL, records INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    space TEXT NOT NULL, key TEXT NOT NULL, shard INTEGER NOT NULL, place INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (key, space)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_shard ON records (shard);
"""
_OF_IMAGE = "key >= ? AND key < ? || '0'"  # the digest itself, and digest/view: "0" follows "/"

Shape = tuple[int, int, int]


def record_bytes(shape: Shape) -> int:
    """Size of one stored map of ``shape`` (height, width, channels): scales float32, then the levels."""
    height, width, channels = shape
    return channels * 4 + height * width * channels


def packed(activation: NDArray[np.float32]) -> bytes:
    """One record from a map [height, width, channels] without negative values."""
    levels, scales = quantised(activation)
    return bytes(scales.astype("<f4").tobytes() + levels.tobytes())


@dataclass(frozen=True)
class Maps:
    """Where the maps of a list of images lie; small, to be handed to a child process.

    Attributes:
        identity: digest of what the maps are of: the same images, views and trunk give the same, wherever the maps lie.
        shape: (height, width, channels), of every layer.
        shards: the files.
        places: by layer int64 [1 + views, images, 2]: number of the file among ``shards`` and of the record in it. View 0 is
            the image itself; a view that is not there stands as the image itself.
    """

    identity: str
    shape: Shape
    shards: tuple[Path, ...]
    places: dict[str, NDArray[np.int64]]

    @property
    def images(self) -> int:
        """How many images there are."""
        return int(next(iter(self.places.values())).shape[1])

    @property
    def views(self) -> int:
        """How many altered views there are of each image."""
        return len(next(iter(self.places.values()))) - 1


class MapReader:
    """Reads records of ``Maps`` through memory maps."""

    def __init__(self, maps: Maps) -> None:
        """Open the shards.

        Raises:
            CoordinatorError: ``train.spatial_maps_gone`` where a shard is no longer there.
        """
        self._maps = maps
        try:
            flat = [np.memmap(path, dtype=np.uint8, mode="r") for path in maps.shards]
        except (OSError, ValueError) as error:
            raise CoordinatorError("train.spatial_maps_gone") from error
        size = record_bytes(maps.shape)
        self._shards = [f[: len(f) // size * size].reshape(-1, size) for f in flat]

    def read(
        self, layer: str, images: NDArray[np.int64], views: NDArray[np.int64] | int = 0
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Levels uint8 [images, height, width, channels] and scales float32 [images, channels]; a value is their product.

        Args:
            layer: of the trunk.
            images: numbers of the images.
            views: which view of each.
        """
        places = self._maps.places[layer][views, images]
        height, width, channels = self._maps.shape
        rows = np.empty((len(images), record_bytes(self._maps.shape)), dtype=np.uint8)
        for row, (shard, place) in zip(rows, places, strict=True):
            row[:] = self._shards[shard][place]
        scales = np.ascontiguousarray(rows[:, : channels * 4]).view("<f4")
        return rows[:, channels * 4 :].reshape(-1, height, width, channels), scales

    def values(self, layer: str, image: int, view: int = 0) -> NDArray[np.float32]:
        """One map as a stage takes it, float32 [1, height, width, channels]."""
        levels, scales = self.read(layer, np.array([image]), view)
        return np.asarray(levels * scales[:, np.newaxis, np.newaxis], dtype=np.float32)


class MapCache:
    """Maps of all trunks in one folder."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def store(self, trunk_sha256: str, shapes: dict[str, Shape]) -> MapStore:
        """The part for one trunk and preparation version. ``shapes``: of the layers to keep."""
        return MapStore(self, trunk_sha256, shapes)

    def bytes_used(self) -> int:
        """Bytes of all shards."""
        with self._changing() as database:
            return _bytes_used(database)

    def remove(self, digests: Sequence[str]) -> None:
        """Overwrite and forget all maps of some images, for every trunk."""
        if not self._folder.is_dir():
            return
        with self._changing() as database:
            for digest in digests:
                found = database.execute(
                    "SELECT shard, place, height, width, channels FROM records JOIN shards ON shard = number "
                    f"WHERE {_OF_IMAGE}",
                    (digest, digest),
                ).fetchall()
                for shard, place, *shape in found:
                    size = record_bytes((shape[0], shape[1], shape[2]))
                    if self.path(shard).is_file():
                        _write(self.path(shard), {place: bytes(size)}, size)
                database.execute(f"DELETE FROM records WHERE {_OF_IMAGE}", (digest, digest))
            empty = "SELECT number FROM shards WHERE number NOT IN (SELECT shard FROM records)"
            self._drop(database, [row[0] for row in database.execute(empty).fetchall()])

    def path(self, shard: int) -> Path:
        """Where a shard is."""
        return self._folder / f"{shard:08d}.maps"

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """The index, locked for us; files that it does not know go first: a crash left them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._folder / "index.sqlite", timeout=60, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.executescript(_SCHEMA)
            database.execute("BEGIN IMMEDIATE")
            try:
                known = {self.path(row[0]).name for row in database.execute("SELECT number FROM shards")}
                for path in self._folder.glob("*.maps"):
                    if path.name not in known:
                        path.unlink()
                yield database
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    def _drop(self, database: sqlite3.Connection, shards: Sequence[int]) -> None:
        """Take shards out of the index; their files go with the next change."""
        database.executemany("DELETE FROM records WHERE shard = ?", [(n,) for n in shards])
        database.executemany("DELETE FROM shards WHERE number = ?", [(n,) for n in shards])

    def _make_room(self, database: sqlite3.Connection, more: int, since: int) -> None:
        """Drop shards that were last used before ``since`` until ``more`` bytes fit.

        Raises:
            CoordinatorError: ``train.spatial_no_room``.
        """
        used = _bytes_used(database)
        allowed = min(self._limit_bytes, used + max(0, shutil.disk_usage(self._folder).free - SPARE_BYTES))
        old = database.execute(
            "SELECT number, height, width, channels, records FROM shards WHERE used < ? ORDER BY used, number", (since,)
        ).fetchall()
        for number, *shape, records in old:
            if used + more <= allowed:
                return
            self._drop(database, [number])
            used -= record_bytes((shape[0], shape[1], shape[2])) * records
        if used + more > allowed:
            raise CoordinatorError("train.spatial_no_room", wanted=_mb(used + more), limit=_mb(allowed))


class MapStore:
    """Maps of one trunk. What one store has touched is safe from being dropped by it."""

    def __init__(self, cache: MapCache, trunk_sha256: str, shapes: dict[str, Shape]) -> None:
        self._cache = cache
        self.shapes = shapes
        self._spaces = {layer: f"{trunk_sha256}/{layer}/p{PREPARE_VERSION}/f{_FORMAT}" for layer in shapes}
        self._waiting: dict[str, dict[str, bytes]] = {layer: {} for layer in shapes}
        self._present: dict[str, set[str]] = {layer: set() for layer in shapes}
        with cache._changing() as database:
            self._since = _next_use(database)

    def missing(self, keys: Sequence[str]) -> set[str]:
        """Which of ``keys`` (digest, or digest/view) have to be computed. Records that were damaged are missing.

        Raises:
            CoordinatorError: ``train.spatial_no_room`` where all of them would not fit, before minutes go into computing them.
        """
        wanted, lacking = list(dict.fromkeys(keys)), set()
        with self._cache._changing() as database:
            need = 0
            for layer, space in self._spaces.items():
                found = self._found(database, space)
                good = self._sound(
                    database, {k: found[k] for k in wanted if k in found}, record_bytes(self.shapes[layer])
                )
                lacking |= set(wanted) - good
                self._present[layer] |= good
                need += record_bytes(self.shapes[layer]) * len(set(wanted) - good)
            self._cache._make_room(database, need, self._since)
        return lacking

    def put(self, key: str, maps: dict[str, bytes]) -> None:
        """Keep one image's records by layer, as ``packed`` made them; on disk after ``flush``."""
        for layer, record in maps.items():
            if key not in self._present[layer]:
                self._waiting[layer][key] = record
        if max(len(records) for records in self._waiting.values()) >= SHARD_RECORDS // 2:
            self.flush()

    def flush(self) -> None:
        """Bring what was put to the disk, then enter it.

        Raises:
            CoordinatorError: ``train.spatial_no_room``.
        """
        if not any(self._waiting.values()):
            return
        with self._cache._changing() as database:
            for layer, records in self._waiting.items():
                size = record_bytes(self.shapes[layer])
                self._cache._make_room(database, size * len(records), self._since)
                left = list(records.items())
                while left:
                    number, start = self._shard(database, layer)
                    now, left = left[: SHARD_RECORDS - start], left[SHARD_RECORDS - start :]
                    _write(self._cache.path(number), dict(enumerate((r for _, r in now), start)), size)
                    database.executemany(
                        "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)",
                        [
                            (self._spaces[layer], key, number, place, zlib.crc32(record))
                            for place, (key, record) in enumerate(now, start)
                        ],
                    )
                    database.execute("UPDATE shards SET records = ? WHERE number = ?", (start + len(now), number))
        self._waiting = {layer: {} for layer in self.shapes}

    def maps(self, digests: Sequence[str], views: int = 0, modality: Modality = "other") -> Maps:
        """The maps of images and their first ``views`` altered views; the images themselves must be there.

        Raises:
            CoordinatorError: ``train.spatial_maps_gone``.
        """
        with self._cache._changing() as database:
            found = {layer: self._found(database, space) for layer, space in self._spaces.items()}
            shards = sorted({row[0] for layer in found.values() for row in layer.values()})
            number = {shard: position for position, shard in enumerate(shards)}
            places = {}
            identity = hashlib.sha256()
            for layer, rows in found.items():
                identity.update(self._spaces[layer].encode())
                grid = np.zeros((1 + views, len(digests), 2), dtype=np.int64)
                for image, digest in enumerate(digests):
                    if digest not in rows:
                        raise CoordinatorError("train.spatial_maps_gone")
                    for view in range(1 + views):
                        shard, place, crc = rows.get(key_of(digest, view, modality) if view else digest, rows[digest])
                        identity.update(f"{digest}{crc}".encode())
                        grid[view, image] = number[shard], place
                places[layer] = grid
        shape = next(iter(self.shapes.values()))
        return Maps(identity.hexdigest(), shape, tuple(self._cache.path(s) for s in shards), places)

    def _found(self, database: sqlite3.Connection, space: str) -> dict[str, tuple[int, int, int]]:
        rows = database.execute("SELECT key, shard, place, crc FROM records WHERE space = ?", (space,))
        return {key: (shard, place, crc) for key, shard, place, crc in rows}

    def _sound(self, database: sqlite3.Connection, found: dict[str, tuple[int, int, int]], size: int) -> set[str]:
        """Which records are as they were written; their shards count as used now."""
        good = set()
        use = _next_use(database)
        by_shard: dict[int, list[str]] = {}
        for key, (shard, _, _) in found.items():
            by_shard.setdefault(shard, []).append(key)
        for shard, keys in by_shard.items():
            try:
                with self._cache.path(shard).open("rb") as file:
                    for key in sorted(keys, key=lambda k: found[k][1]):
                        file.seek(found[key][1] * size)
                        if zlib.crc32(file.read(size)) == found[key][2]:
                            good.add(key)
            except FileNotFoundError:
                continue
            database.execute("UPDATE shards SET used = ? WHERE number = ?", (use, shard))
        return good

    def _shard(self, database: sqlite3.Connection, layer: str) -> tuple[int, int]:
        """A shard with room, and where its room begins; a new one where there is none."""
        space, use = self._spaces[layer], _next_use(database)
        found = database.execute(
            "SELECT number, records FROM shards WHERE space = ? AND records < ? ORDER BY number LIMIT 1",
            (space, SHARD_RECORDS),
        ).fetchone()
        if found and self._cache.path(found[0]).is_file():
            database.execute("UPDATE shards SET used = ? WHERE number = ?", (use, found[0]))
            return int(found[0]), int(found[1])
        if found:
            self._cache._drop(database, [found[0]])
        number = database.execute(
            "INSERT INTO shards (space, height, width, channels, records, used) VALUES (?, ?, ?, ?, 0, ?)",
            (space, *self.shapes[layer], use),
        ).lastrowid
        assert number is not None
        self._cache.path(number).touch()
        return number, 0


def _write(path: Path, records: dict[int, bytes], size: int) -> None:
    """Write records at their places and bring them to the disk."""
    with path.open("r+b") as file:
        for place, record in records.items():
            file.seek(place * size)
            file.write(record)
        file.flush()
        os.fsync(file.fileno())


def _next_use(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT COALESCE(MAX(used), 0) + 1 FROM shards").fetchone()[0])


def _bytes_used(database: sqlite3.Connection) -> int:
    rows = database.execute("SELECT height, width, channels, records FROM shards").fetchall()
    return sum(record_bytes((h, w, c)) * n for h, w, c, n in rows)


def _mb(size_bytes: int) -> int:
    return -(-size_bytes // 1_000_000)
