"""Features of a site's images, by the very trunk that recognises here, in a process of their own that may crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import EdgeError
from edge_node.federation.sources import Content
from protocols.errors import MedMeshError
from protocols.imaging import InputSpec, open_image, prepare
from protocols.pipeline import StageRunner


@dataclass(frozen=True)
class Trunk:
    """A verified trunk on this machine."""

    sha256: str
    path: Path
    spec: InputSpec


@dataclass(frozen=True)
class _Task:
    image: Content
    trunk: Path
    spec: InputSpec
    taps: tuple[str, ...]


_runners: dict[Path, StageRunner] = {}


def compute(task: _Task) -> NDArray[np.float32] | None:
    """Features of one image, float32 [features]; None where it cannot be read any more. Runs in the child."""
    if task.trunk not in _runners:
        _runners[task.trunk] = StageRunner(task.trunk)
    runner = _runners[task.trunk]
    try:
        with open_image(task.image) as image:
            pixels = prepare(image, task.spec)
    except (OSError, MedMeshError):
        return None
    outputs = runner.run({next(iter(runner.inputs)): pixels})
    return np.concatenate([outputs[t].ravel() for t in task.taps]).astype(np.float32)


def extract(
    images: Sequence[Content], trunk: Trunk, taps: tuple[str, ...], progress: Callable[[int, int], None]
) -> Iterator[NDArray[np.float32] | None]:
    """Features of images in their order.

    Raises:
        EdgeError: ``federation.trunk_unusable``: the child ended, or the trunk gives other outputs.
    """
    tasks = [_Task(image, trunk.path, trunk.spec, taps) for image in images]
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            for done, value in enumerate(pool.map(compute, tasks, chunksize=4), start=1):
                if value is not None and not np.isfinite(value).all():
                    value = None
                progress(done, len(tasks))
                yield value
    except (BrokenProcessPool, KeyError, MedMeshError) as error:
        raise EdgeError("federation.trunk_unusable") from error
