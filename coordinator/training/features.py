"""Features of images as the trunk computes them, kept on disk so that each image is computed once.

The key is (image digest, view, preparation version, trunk digest). Values are float32, exactly as LiteRT gave them: what
a head is trained on is what nodes will compute. View 0 is the image itself; the others are altered as another site's
camera might (``views``), as far as the modality allows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.training import views
from coordinator.training.modality import Modality
from coordinator.training.spatial.maps import MapStore, packed
from protocols.imaging import PREPARE_VERSION, InputSpec, Quality, measure_quality, open_image, prepare
from protocols.novelty import LAYOUT_EDGE, thumbnail
from protocols.pipeline import StageRunner

_COMMIT_EVERY = 64
_ROW_VERSION = 2  # rises when a row holds something else
_MEASURES = len(fields(Quality))
_PIXELS = 3 * LAYOUT_EDGE**2


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
    key: str  # digest, or ``views.key_of``
    trunk: Trunk
    layers: tuple[str, ...] = ()  # whose maps are kept too


@dataclass(frozen=True)
class _Computed:
    key: str
    value: bytes
    maps: dict[str, bytes]  # by layer, as ``spatial.maps`` stores them


@dataclass(frozen=True)
class Extraction:
    """Features of a list of images.

    Attributes:
        taps: name -> float32 [images, channels].
        quality: one measure an image.
        thumbnails: float32 [images, 192], for the layout.
        computed: how many were computed now; the rest came from the cache.
    """

    taps: dict[str, NDArray[np.float32]]
    quality: list[Quality]
    computed: int
    thumbnails: NDArray[np.float32]


_runners: dict[Path, StageRunner] = {}  # one a worker process; loading costs more than an image


def compute(task: _Task) -> _Computed:
    """Features of one view: quality, thumbnail and all taps, float32, one after the other, and maps. Runs in a worker."""
    runner = _runners.get(task.trunk.path)
    if runner is None:
        runner = _runners.setdefault(task.trunk.path, StageRunner(task.trunk.path))
    spec = task.trunk.spec
    with open_image(task.image) as image:
        pixels = views.altered(image, spec, task.key) if "/" in task.key else prepare(image, spec)
    quality = measure_quality(pixels, spec)
    outputs = runner.run({next(iter(runner.inputs)): pixels})
    parts = [np.array(astuple(quality)), thumbnail(pixels, spec), *(outputs[t][0] for t in task.trunk.taps)]
    maps = {layer: packed(outputs[f"{layer}_map"][0]) for layer in task.layers}
    return _Computed(task.key, np.concatenate(parts).astype("<f4").tobytes(), maps)


def map_shapes(trunk: Trunk, layers: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    """Height, width and channels of the maps that a trunk gives, by layer."""
    outputs = StageRunner(trunk.path).outputs
    shapes = {layer: outputs[f"{layer}_map"] for layer in layers}
    return {layer: (int(shape[1]), int(shape[2]), int(shape[3])) for layer, shape in shapes.items()}


class FeatureCache:
    """One SQLite file for each trunk and preparation version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def _open(self, trunk_sha256: str) -> Iterator[sqlite3.Connection]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{trunk_sha256[:32]}-p{PREPARE_VERSION}-v{_ROW_VERSION}.sqlite"
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
        view: int = 0,
        maps: MapStore | None = None,
        modality: Modality = "other",
    ) -> Extraction:
        """Features of ``images`` (digest, file), computing only what is missing; an interrupted run loses little.

        Args:
            images: digest and file of each.
            trunk: what computes them.
            engine: where.
            progress: told how many of the missing ones are done.
            view: 0 for the images themselves.
            maps: where their maps are kept in the same pass; None: nowhere.
            modality: what views may change.

        Raises:
            CoordinatorError: ``train.spatial_no_room`` where the maps do not fit into their limit.
        """
        keyed = [(_key(sha256, view, modality), path) for sha256, path in images]
        lacking = maps.missing([key for key, _ in keyed]) if maps else set()
        layers = tuple(maps.shapes) if maps else ()
        with self._open(trunk.sha256) as database:
            known = {row[0] for row in database.execute("SELECT image FROM features")} - lacking
            tasks = [_Task(path, key, trunk, layers) for key, path in dict(keyed).items() if key not in known]
            for done, found in enumerate(engine.map(compute, tasks) if tasks else (), start=1):
                database.execute("INSERT OR REPLACE INTO features VALUES (?, ?)", (found.key, found.value))
                if maps:
                    maps.put(found.key, found.maps)
                if done % _COMMIT_EVERY == 0 or done == len(tasks):
                    database.commit()
                    if maps:
                        maps.flush()
                progress(done, len(tasks))
            rows = [
                database.execute("SELECT value FROM features WHERE image = ?", (key,)).fetchone()[0] for key, _ in keyed
            ]
        return _unpack(rows, trunk, len(tasks))

    def missing(self, digests: list[str], trunk: Trunk, view: int = 0, modality: Modality = "other") -> int:
        """How many of the images ``extract`` would have to compute."""
        with self._open(trunk.sha256) as database:
            known = {row[0] for row in database.execute("SELECT image FROM features")}
        return len({_key(sha256, view, modality) for sha256 in digests} - known)

    def remove(self, digests: list[str]) -> None:
        """Forget images, for every trunk."""
        for path in self._folder.glob("*.sqlite"):
            with closing(sqlite3.connect(path, timeout=30)) as database, database:
                database.executemany("DELETE FROM features WHERE substr(image, 1, 64) = ?", [(d,) for d in digests])


def _key(sha256: str, view: int, modality: Modality) -> str:
    return sha256 if view == 0 else views.key_of(sha256, view, modality)


def _unpack(rows: list[bytes], trunk: Trunk, computed: int) -> Extraction:
    shapes = StageRunner(trunk.path).outputs
    matrix = np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), -1)
    thumbnails, start = matrix[:, _MEASURES : _MEASURES + _PIXELS], _MEASURES + _PIXELS
    taps: dict[str, NDArray[np.float32]] = {}
    for tap in trunk.taps:
        channels = shapes[tap][1]
        taps[tap] = np.ascontiguousarray(matrix[:, start : start + channels])
        start += channels
    quality = [Quality(*(float(x) for x in row)) for row in matrix[:, :_MEASURES]]
    return Extraction(taps, quality, computed, np.array(thumbnails))
