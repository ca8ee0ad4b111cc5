"""The child's side: take requests from the pipe, run models, say beforehand which."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edge_node.recognition.recogniser import ExplainingRunner, LastPicture, Recogniser
from edge_node.worker import wire
from edge_node.worker.frames import Frame, pack, read_frame, write_frame
from edge_node.worker.limits import be_the_first_to_go, ignore_requests_to_stop, limit_cpu, limit_memory
from protocols.errors import MedMeshError
from protocols.explanation import Evidence
from protocols.manifest import ReleaseManifest
from protocols.novelty import Residuals
from protocols.pipeline import Tensors
from protocols.selftest import golden_scores

MakeRunner = Callable[[Callable[[str], Path], int], ExplainingRunner]


def serve(make_runner: MakeRunner, arguments: Sequence[str]) -> None:
    """Answer requests until the parent closes the pipe or is gone.

    Args:
        make_runner: given where artifacts are and the number of threads.
        arguments: threads, megabytes of address space, seconds for one request.
    """
    threads, memory_mb, timeout_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    ignore_requests_to_stop()
    be_the_first_to_go()
    limit_memory(memory_mb)
    requests, answers = _take_over_pipes()
    waiting: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, waiting), daemon=True).start()
    child = _Child(make_runner, threads, answers)
    write_frame(answers, Frame({"ready": os.getpid()}))
    while True:
        request = waiting.get()
        limit_cpu(timeout_s * (threads + 1) * (len(request.header["manifests"]) + 1))
        write_frame(answers, child.answer(request))


def _take_over_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the two pipes to ourselves: what a library prints must not get between the messages."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _receive(requests: IO[bytes], waiting: queue.SimpleQueue[Frame]) -> None:
    """Pass requests on; end the process at once when the parent is gone, whatever a model is doing."""
    while (frame := read_frame(requests)) is not None:
        waiting.put(frame)
    os._exit(0)


class _Child:
    """Does what is asked."""

    def __init__(self, make_runner: MakeRunner, threads: int, answers: IO[bytes]) -> None:
        self._files: dict[str, str] = {}
        self._runner = make_runner(lambda sha256: Path(self._files[sha256]), threads)
        self._last = LastPicture()
        self._answers = answers

    def answer(self, request: Frame) -> Frame:
        """The answer, or the failure, to a request."""
        try:
            return self._do(request)
        except (MedMeshError, OSError) as error:
            return wire.refusal_frame(error)
        except MemoryError:
            return Frame({"failed": "memory"})
        except Exception as error:  # whatever a model makes Python raise is that model's failure
            return Frame({"failed": type(error).__name__})

    def _do(self, request: Frame) -> Frame:
        header = request.header
        self._files.update(header["files"])
        releases = [ReleaseManifest.from_bytes(data) for data in wire.requested_releases(request)]
        runner = _Announcing(self._runner, releases, self._announce)
        if header["do"] == "golden":
            described, body = pack([golden_scores(releases[0], Path(header["strip"]).read_bytes(), runner)])
            return Frame({"done": [], "arrays": described}, body)
        found = Recogniser(runner, self._last).recognise(
            wire.requested_picture(request), releases, explain=header["explain"]
        )
        return wire.recognitions_frame(found)

    def _announce(self, number: int) -> None:
        write_frame(self._answers, Frame({"infer": number}))


class _Announcing:
    """Says which release runs before it does; the picture is prepared by then, and a crash from here on is the model's."""

    def __init__(
        self, inner: ExplainingRunner, releases: Sequence[ReleaseManifest], announce: Callable[[int], None]
    ) -> None:
        self._inner = inner
        self._releases = releases
        self._announce = announce
        self._running: ReleaseManifest | None = None

    def _start(self, manifest: ReleaseManifest) -> None:
        if manifest is not self._running:
            self._running = manifest
            self._announce(next(n for n, release in enumerate(self._releases) if release is manifest))

    def logits(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> NDArray[np.float32]:
        self._start(manifest)
        return self._inner.logits(manifest, pixels, memo)

    def residuals(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Residuals | None:
        self._start(manifest)
        return self._inner.residuals(manifest, pixels, memo)

    def evidence(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Evidence | None:
        self._start(manifest)
        return self._inner.evidence(manifest, pixels, memo)
