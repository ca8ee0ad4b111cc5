"""Features of images as the trunk computes them, kept on disk so that each image is computed once.

The key is (image digest, preparation version, trunk digest). Values are float32, exactly as LiteRT gave them: what a head
is trained on is what nodes will compute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from protocols.imaging import PREPARE_VERSION, InputSpec, Quality, measure_quality, open_image, prepare
from protocols.pipeline import StageRunner

_COMMIT_EVERY = 64


@dataclass(frozen=True)
class Trunk:
    """A converted trunk on disk and the pooled outputs ("taps") that are kept of it."""

    path: Path
    sha256: str
    spec: InputSpec
    taps: tuple[str, ...]


@dataclass(frozen=True)
class _Task:
    image: Path
    sha256: str
    trunk: Trunk


@dataclass(frozen=True)
class Extraction:
    """Features of a list of images.

    Attributes:
        taps: name -> float32 [images, channels].
        quality: one measure an image.
        computed: how many were computed now; the rest came from the cache.
    """

    taps: dict[str, NDArray[np.float32]]
    quality: list[Quality]
    computed: int


_runners: dict[Path, StageRunner] = {}  # one a worker process; loading costs more than an image


def compute(task: _Task) -> tuple[str, bytes]:
    """Features of one image: quality (2 values) and all taps, float32, one after the other. Runs in a worker."""
    runner = _runners.get(task.trunk.path)
    if runner is None:
        runner = _runners.setdefault(task.trunk.path, StageRunner(task.trunk.path))
    with open_image(task.image) as image:
        pixels = prepare(image, task.trunk.spec)
    quality = measure_quality(pixels, task.trunk.spec)
    outputs = runner.run({next(iter(runner.inputs)): pixels})
    parts = [np.array([quality.sharpness, quality.exposure], np.float32), *(outputs[t][0] for t in task.trunk.taps)]
    return task.sha256, np.concatenate(parts).astype("<f4").tobytes()


class FeatureCache:
    """One SQLite file for each trunk and preparation version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def _open(self, trunk_sha256: str) -> Iterator[sqlite3.Connection]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{trunk_sha256[:32]}-p{PREPARE_VERSION}.sqlite"
        with closing(sqlite3.connect(path, timeout=30)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS features (image TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
            yield database

    def extract(
        self,
        images: list[tuple[str, Path]],
        trunk: Trunk,
        engine: Engine,
        progress: Callable[[int, int], None],
    ) -> Extraction:
        """Features of ``images`` (digest, file), computing only what is missing; an interrupted run loses little."""
        with self._open(trunk.sha256) as database:
            known = {row[0] for row in database.execute("SELECT image FROM features")}
            tasks = [_Task(path, sha256, trunk) for sha256, path in dict(images).items() if sha256 not in known]
            for done, row in enumerate(engine.map(compute, tasks) if tasks else (), start=1):
                database.execute("INSERT OR REPLACE INTO features VALUES (?, ?)", row)
                if done % _COMMIT_EVERY == 0 or done == len(tasks):
                    database.commit()
                progress(done, len(tasks))
            rows = [
                database.execute("SELECT value FROM features WHERE image = ?", (sha256,)).fetchone()[0]
                for sha256, _ in images
            ]
        return _unpack(rows, trunk, len(tasks))

    def remove(self, digests: list[str]) -> None:
        """Forget images, for every trunk."""
        for path in self._folder.glob("*.sqlite"):
            with closing(sqlite3.connect(path, timeout=30)) as database, database:
                database.executemany("DELETE FROM features WHERE image = ?", [(d,) for d in digests])


def _unpack(rows: list[bytes], trunk: Trunk, computed: int) -> Extraction:
    shapes = StageRunner(trunk.path).outputs
    matrix = np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), -1)
    taps: dict[str, NDArray[np.float32]] = {}
    start = 2
    for tap in trunk.taps:
        channels = shapes[tap][1]
        taps[tap] = np.ascontiguousarray(matrix[:, start : start + channels])
        start += channels
    return Extraction(taps, [Quality(float(a), float(b)) for a, b in matrix[:, :2]], computed)
