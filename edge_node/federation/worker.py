"""A process that holds a site's maps in its memory while a run lasts, and fits heads to them: TensorFlow starts once for a run.

A map shows its picture, so none lies on a disk. When nobody has asked for half an hour, or this process goes, it ends and all
maps with it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import EdgeError
from edge_node.federation import spatial
from edge_node.federation.extract import Trunk
from edge_node.federation.local import Task
from edge_node.federation.sources import Content
from edge_node.federation.spatial import HeldMaps, Record
from protocols.errors import MedMeshError
from protocols.federation.head import Head, Standard
from protocols.imaging import open_image, prepare
from protocols.pipeline import StageRunner
from protocols.spatial.maps import quantised
from protocols.spatial.shape import SpatialShape

MOST_BYTES = 600_000_000  # of maps; 1,300 images of two maps
_IDLE_S = 1800.0
_T = TypeVar("_T")
_log = logging.getLogger("medmesh.federation")


@dataclass(frozen=True)
class Holding:
    """What the process holds.

    Attributes:
        keys: of the images, as they were given.
        channels: of their maps; 0 without images.
        is_full: there was no room for more.
    """

    keys: frozenset[str] = frozenset()
    channels: int = 0
    is_full: bool = False


class MapWorker:
    """One for each node process. Blocking."""

    def __init__(self, most_bytes: int = MOST_BYTES, idle_s: float = _IDLE_S) -> None:
        self._most_bytes = most_bytes
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._line: Connection | None = None
        self._timer: threading.Timer | None = None
        self._stage = ""
        self._holding = Holding()

    def keep(self, stage: str, keys: Collection[str]) -> Holding:
        """Forget all but ``keys`` of ``stage``; what is held of them."""
        if self._stage != stage:
            self._stage, self._holding = stage, Holding()
        if self._process is not None:
            self._holding = self._run("federation.fit_failed", _keep, stage, frozenset(keys))
        return self._holding

    def hold(self, stage: str, trunk: Trunk, shape: SpatialShape, images: Sequence[tuple[str, Content]]) -> Holding:
        """Compute the maps of images (key, content) and hold them beside the others, as far as there is room.

        Raises:
            EdgeError: ``federation.trunk_unusable``.
        """
        self._stage = stage
        self._holding = self._run("federation.trunk_unusable", _hold, stage, trunk, shape, images, self._most_bytes)
        return self._holding

    def fit(
        self,
        maps: WorkerMaps,
        labels: NDArray[np.int64],
        uses: NDArray[np.bool_],
        shared: Head,
        standard: Standard,
        task: Task,
    ) -> Head:
        """See ``local.fit``.

        Raises:
            EdgeError: ``federation.fit_failed``.
        """
        new = self._run("federation.fit_failed", _fit, maps.shape, maps.keys, labels, uses, shared, standard, task)
        if not np.isfinite(new.flat()).all():
            raise EdgeError("federation.fit_failed")
        return new

    def logits(self, maps: WorkerMaps, head: Head, standard: Standard) -> NDArray[np.float32]:
        """Logits [images, labels].

        Raises:
            EdgeError: ``federation.fit_failed``.
        """
        return self._run("federation.fit_failed", _logits, maps.shape, maps.keys, head, standard)

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            self._end()

    def _run(self, code: str, work: Callable[..., _T], *arguments: object) -> _T:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            line = self._line or self._begin()
            try:
                line.send((work, arguments))
                is_done, answer = line.recv()
            except (EOFError, OSError) as error:  # it was killed, perhaps for its memory
                self._end()
                raise EdgeError(code) from error
            finally:
                self._timer = threading.Timer(self._idle_s, self.close)
                self._timer.daemon = True
                self._timer.start()
        if not is_done:
            _log.warning("a spatial head could not be worked on: %s", answer)
            raise EdgeError(code)
        return cast(_T, answer)

    def _begin(self) -> Connection:
        """Start the process. Not a pool's: those wait for their workers, and TensorFlow's threads may not let them go."""
        context = get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen here
        return self._line

    def _end(self) -> None:
        if self._process is not None and self._line is not None:
            self._process.kill()
            self._process.join()
            self._line.close()
        self._process, self._line, self._stage, self._holding = None, None, "", Holding()


@dataclass(frozen=True)
class WorkerMaps:
    """Images whose maps a worker holds (``edge_node.federation.local.Maps``)."""

    worker: MapWorker
    shape: SpatialShape
    keys: tuple[str, ...]
    channels: int

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> WorkerMaps:
        return WorkerMaps(self.worker, self.shape, tuple(self.keys[i] for i in np.flatnonzero(chosen)), self.channels)

    def suits(self, head: Head, standard: Standard) -> bool:
        """Whether a head reads such maps."""
        return spatial.suits(self.shape, self.channels, head, standard)

    def fit(
        self, labels: NDArray[np.int64], uses: NDArray[np.bool_], shared: Head, standard: Standard, task: Task
    ) -> Head:
        """See ``MapWorker.fit``."""
        return self.worker.fit(self, labels, uses, shared, standard, task)

    def logits(self, head: Head, standard: Standard) -> NDArray[np.float32]:
        """See ``MapWorker.logits``."""
        return self.worker.logits(self, head, standard)


# In the process.


@dataclass
class _Memory:
    stage: str = ""
    bytes: int = 0
    is_full: bool = False


_memory = _Memory()
_records: dict[str, Record] = {}


def _answer(line: Connection) -> None:
    """Work on one question after the other until the other end goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which ends this process
    if hasattr(os, "nice"):
        os.nice(5)  # recognition comes first
    while True:
        try:
            work, arguments = line.recv()
        except EOFError:
            os._exit(0)  # TensorFlow's threads may outlive what is of use
        try:
            found: tuple[bool, Any] = True, work(*arguments)
        except Exception as error:  # whatever it was, the next question may fare better
            found = False, type(error).__name__
        try:
            line.send(found)
        except OSError:
            os._exit(0)


def _keep(stage: str, keys: frozenset[str]) -> Holding:
    for key in [k for k in _records if _memory.stage != stage or k not in keys]:
        _memory.bytes -= _size(_records.pop(key))
        _memory.is_full = False
    _memory.stage = stage
    return _holding()


def _hold(
    stage: str, trunk: Trunk, shape: SpatialShape, images: Sequence[tuple[str, Content]], most_bytes: int
) -> Holding:
    if _memory.stage != stage:
        _keep(stage, frozenset())
    runner = StageRunner(trunk.path)
    for key, source in images:
        record = _record(runner, trunk, shape, source)
        if record is None or key in _records:
            continue
        if _memory.bytes + _size(record) > most_bytes:
            _memory.is_full = True
            break
        _records[key] = record
        _memory.bytes += _size(record)
    return _holding()


def _record(runner: StageRunner, trunk: Trunk, shape: SpatialShape, source: Content) -> Record | None:
    """The maps of one image; None where it cannot be read any more, or has none that are finite."""
    try:
        with open_image(source) as image:
            pixels = prepare(image, trunk.spec)
    except (OSError, MedMeshError):
        return None
    outputs = runner.run({next(iter(runner.inputs)): pixels})
    found = [(layer, outputs[f"{layer}_map"][0]) for layer in shape.maps]
    if not all(np.isfinite(values).all() for _, values in found):
        return None
    return {layer: quantised(values) for layer, values in found}


def _holding() -> Holding:
    first = next(iter(_records.values()), None)
    channels = 0 if first is None else next(iter(first.values()))[1].shape[0]
    return Holding(frozenset(_records), int(channels), _memory.is_full)


def _size(record: Record) -> int:
    return sum(levels.nbytes + scales.nbytes for levels, scales in record.values())


def _fit(
    shape: SpatialShape,
    keys: tuple[str, ...],
    labels: NDArray[np.int64],
    uses: NDArray[np.bool_],
    shared: Head,
    standard: Standard,
    task: Task,
) -> Head:
    spatial.prepare()
    return HeldMaps(shape, [_records[k] for k in keys]).fit(labels, uses, shared, standard, task)


def _logits(shape: SpatialShape, keys: tuple[str, ...], head: Head, standard: Standard) -> NDArray[np.float32]:
    spatial.prepare()
    return HeldMaps(shape, [_records[k] for k in keys]).logits(head, standard)
