"""The child process with models and pictures that misbehave on purpose; the release's model name says how.

``python -m tests.edge_node.support.faulty_worker`` takes the place of ``python -m edge_node.worker``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.recognition import recogniser
from edge_node.worker.child import serve
from protocols import pictures
from protocols.explanation import Evidence
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines, Tensors

COMMAND = (sys.executable, "-m", "tests.edge_node.support.faulty_worker")
ANNOUNCED = "running"  # a file that says that a model has been started


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    time.sleep(600)


def _spin() -> None:
    while True:
        pass


def _eat() -> None:
    hoard = []
    while True:
        hoard.append(np.ones(1 << 22))


def _raise() -> None:
    raise TypeError("a model's own fault")


def _nonsense() -> None:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue


def _print() -> None:
    os.write(1, b"chatter of a library\n")


FAULTS: dict[str, Callable[[], None]] = {
    "segfault": _segfault,
    "abort": os.abort,
    "leave": lambda: os._exit(3),
    "oom": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "spin": _spin,
    "eat": _eat,
    "raise": _raise,
    "nonsense": _nonsense,
    "chatter": _print,
    "slow": lambda: time.sleep(0.3),
}


class FaultyPipelines(Pipelines):
    """The real pipelines, after the fault of the model's name, if it is one."""

    def logits(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> NDArray[np.float32]:
        fault = manifest.model.split("-")[0]
        if fault in FAULTS:
            (self._path_of(manifest.stages[0].sha256).parent / ANNOUNCED).write_text(str(os.getpid()))
            FAULTS[fault]()
        return super().logits(manifest, pixels, memo)

    def evidence(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Tensors]
    ) -> Evidence | None:
        if manifest.model == "located":
            return Evidence(np.full((2, 3, 2), 0.5, np.float32), np.array([1, -1], np.float32))
        return super().evidence(manifest, pixels, memo)


def open_picture(source: Path, frame: int | None = None) -> AbstractContextManager[Any]:
    """``deadly*`` kills the decoder; ``once*`` does so in the first process that sees it."""
    seen = source.with_suffix(".seen")
    if source.name.startswith("deadly") or (source.name.startswith("once") and not seen.exists()):
        seen.touch()
        _segfault()
    if source.name.startswith("endless"):
        _hang()
    return pictures.open_picture(source, frame)


if __name__ == "__main__":
    recogniser.open_picture = open_picture  # type: ignore[attr-defined]
    serve(FaultyPipelines, sys.argv[1:])
