"""The parent's side: asks the child, starts it anew when it died, and finds out whose fault that was."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recognition
from edge_node.worker import wire
from edge_node.worker.errors import ModelDiedError, WorkerError
from edge_node.worker.frames import BrokenFrameError, Frame, unpack
from edge_node.worker.process import ChildProcess, Death, DiedError
from protocols.imaging import ImageError, InputSpec
from protocols.manifest import ReleaseManifest

# -P: what lies in the folder in which the program was started must not be imported.
COMMAND = (sys.executable, "-P", "-m", "edge_node.worker")
_START_TIMEOUT_S = 60.0
_CLOSE_GRACE_S = 1.0
_FIRST_PAUSE_S, _MOST_PAUSE_S, _FREE_RESTARTS = 0.1, 2.0, 2


def restart_pause_s(deaths: int) -> float:
    """Seconds before the next start after ``deaths`` in a row: none at first, then doubling up to two seconds.

    A person waits for the answer; the bound only keeps a broken installation from spinning.
    """
    if deaths <= _FREE_RESTARTS:
        return 0.0
    return float(min(_FIRST_PAUSE_S * 2.0 ** min(deaths - _FREE_RESTARTS - 1, 30), _MOST_PAUSE_S))


T = TypeVar("T")


@dataclass(frozen=True)
class WorkerLimits:
    """What the child may take.

    Attributes:
        threads: of LiteRT for one picture.
        memory_mb: megabytes of address space.
        timeout_s: longest silence, seconds: for preparing a picture, and for each model.
    """

    threads: int = 1
    memory_mb: int = 2048
    timeout_s: float = 60.0


class _Interrupted(Exception):  # noqa: N818  # never leaves this module
    """The child died over a request; ``running`` is the release that had been started, None while preparing."""

    def __init__(self, death: Death, running: int | None) -> None:
        super().__init__(death.detail)
        self.death = death
        self.running = running


class WorkerModels:
    """Runs models in one child process, which is started when first needed; requests wait for each other."""

    def __init__(
        self,
        path_of: Callable[[str], Path],
        limits: WorkerLimits,
        command: Sequence[str] = COMMAND,
        pause_s: Callable[[int], float] = restart_pause_s,
    ) -> None:
        """Args: path_of: gives the file of an artifact that is already verified."""
        self._path_of = path_of
        self._limits = limits
        self._command = (*command, str(limits.threads), str(limits.memory_mb), str(limits.timeout_s))
        self._pause_s = pause_s
        self._turn = threading.Lock()
        self._handle = threading.Lock()
        self._closed = threading.Event()
        self._child: ChildProcess | None = None
        self._is_ready = False
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """The process id of the child; None while there is none."""
        child = self._child
        return child.pid if child is not None and child.is_alive else None

    def recognise(
        self, picture: Picture, releases: Sequence[ReleaseManifest], *, explain: bool = False
    ) -> list[Recognition]:
        """As the port says. Models with the same input go into one request, so that a picture is prepared before all of them."""
        groups: dict[InputSpec, list[int]] = {}
        for number, release in enumerate(releases):
            groups.setdefault(release.input, []).append(number)
        found: dict[int, Recognition] = {}
        for numbers in groups.values():
            group = [releases[number] for number in numbers]
            found |= zip(numbers, self._recognise(picture, group, explain), strict=True)
        return [found[number] for number in range(len(releases))]

    def _recognise(self, picture: Picture, releases: Sequence[ReleaseManifest], explain: bool) -> list[Recognition]:
        request = wire.recognise_request(picture, explain, releases, self._path_of)
        for is_last in (False, True):
            try:
                return self._ask(request, len(releases), lambda f: wire.read_recognitions(f, picture, releases))
            except _Interrupted as stop:
                if stop.running is not None:
                    self._blame(releases[stop.running], stop.death)
                # An earlier model may have left the process damaged: the picture is to blame if a fresh one dies too.
                if is_last or stop.death.cause == "timed_out":
                    raise ImageError("image.decoder_died", problem=stop.death.detail) from stop
        raise AssertionError

    def golden_scores(self, manifest: ReleaseManifest, strip: Path) -> NDArray[np.float64]:
        """As the port says. The golden pictures are a part of the release, which is to blame for them too."""
        request = wire.golden_request(manifest, strip, self._path_of)

        def read(frame: Frame) -> NDArray[np.float64]:
            (scores,) = unpack(frame.header.get("arrays"), frame.body)
            if scores.ndim != 2:
                raise BrokenFrameError
            return scores

        try:
            return self._ask(request, 1, read)
        except _Interrupted as stop:
            self._blame(manifest, stop.death)

    def _blame(self, manifest: ReleaseManifest, death: Death) -> NoReturn:
        name, problem = manifest.name, death.detail
        match death.cause:
            case "timed_out":
                seconds = f"{self._limits.timeout_s:g}"
                raise ModelDiedError("worker.model_timed_out", manifest, release=name, problem=problem, seconds=seconds)
            case "memory":
                most = self._limits.memory_mb
                raise ModelDiedError("worker.model_memory", manifest, release=name, problem=problem, megabytes=most)
            case "crashed" | "nonsense":
                raise ModelDiedError("worker.model_crashed", manifest, release=name, problem=problem)

    def _ask(self, request: Frame, most_signs: int, read: Callable[[Frame], T]) -> T:
        """Send a request and wait for its answer; each sign of life in between gives the child its time anew."""
        with self._turn:
            child = self._running_child()
            running: int | None = None
            try:
                child.send(request, self._limits.timeout_s)
                for _ in range(most_signs + 1):
                    frame = child.receive(self._limits.timeout_s)
                    if "infer" not in frame.header:
                        return self._finish(frame, read)
                    running = self._started(frame, most_signs)
                raise DiedError(Death("nonsense", "too many messages"))
            except DiedError as died:
                self._drop(child)
                raise _Interrupted(died.death, running) from died

    def _finish(self, frame: Frame, read: Callable[[Frame], T]) -> T:
        try:
            if (refusal := wire.read_refusal(frame)) is None and "failed" not in frame.header:
                result = read(frame)
                self._deaths = 0
                return result
        except (BrokenFrameError, ValueError, TypeError) as error:
            raise DiedError(Death("nonsense", "malformed answer")) from error
        if refusal is not None:
            self._deaths = 0
            raise refusal
        problem = str(frame.header["failed"])[:60]
        raise DiedError(Death("memory" if problem == "memory" else "crashed", problem))

    @staticmethod
    def _started(frame: Frame, most: int) -> int:
        number = frame.header["infer"]
        if type(number) is not int or not 0 <= number < most:
            raise DiedError(Death("nonsense", "malformed message"))
        return number

    def _running_child(self) -> ChildProcess:
        """The child, started if there is none or it died meanwhile."""
        if self._child is not None and not self._child.is_alive:
            self._drop(self._child)
        if self._child is None:
            self._closed.wait(self._pause_s(self._deaths))
            self._start()
        child = self._child
        if child is None or self._closed.is_set():
            raise WorkerError("worker.closed")
        if not self._is_ready:
            try:
                child.receive(_START_TIMEOUT_S)
            except DiedError as died:
                self._drop(child)
                raise WorkerError("worker.cannot_start", problem=died.death.detail) from died
            self._is_ready = True
        return child

    def _start(self) -> None:
        with self._handle:
            if self._closed.is_set():
                return
            try:
                self._child = ChildProcess(self._command)
            except OSError as error:
                raise WorkerError("worker.cannot_start", problem=error.strerror or "") from error
            self._is_ready = False

    def _drop(self, child: ChildProcess) -> None:
        """Clear a dead or useless child away."""
        child.end()
        if self._closed.is_set():
            raise WorkerError("worker.closed")
        self._deaths += 1
        with self._handle:
            self._child = None

    def warm_up(self) -> None:
        """Start the child, without waiting until it is ready; where that fails, the first request tells why."""
        if self._turn.acquire(blocking=False):
            try:
                with suppress(WorkerError):
                    if self._child is None:
                        self._start()
            finally:
                self._turn.release()

    def close(self) -> None:
        """End the child, also in the middle of a request; nothing can be asked any more."""
        self._closed.set()
        with self._handle:
            child, self._child = self._child, None
        if child is not None:
            child.end(_CLOSE_GRACE_S)
