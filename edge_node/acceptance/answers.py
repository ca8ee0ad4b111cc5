"""What a release answers for labelled images, in a process of its own that may crash and is bounded in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_node.federation.sources import Content
from edge_node.worker.limits import limit_cpu, limit_memory
from protocols.errors import MedMeshError
from protocols.imaging import open_image, prepare
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines, Tensors
from protocols.recognition import scores

_MOST_POOLED = 8192  # numbers: what is wider is a map, and not worth keeping
Features = Mapping[str, NDArray[np.float32]]


class AnswersDiedError(Exception):
    """The release took its process along, or does not run on these images."""


@dataclass(frozen=True)
class Bounds:
    """What the process may take: megabytes of address space, and seconds of computing for each image and for starting."""

    memory_mb: int = 2048
    start_s: float = 60.0
    image_s: float = 20.0


@dataclass(frozen=True)
class Question:
    """One image: its content, or, where they are kept, the pooled outputs of the trunk that the release reads."""

    content: Content | None
    features: Features = field(default_factory=dict)


@dataclass(frozen=True)
class Answered:
    """The likeliest label, and the pooled outputs of the first stage that were computed for it."""

    label: str
    features: Features = field(default_factory=dict)


def pooled_inputs(manifest: ReleaseManifest) -> tuple[str, ...]:
    """The first stage's outputs that all else is made from; empty where a single later stage does not read them alone."""
    return manifest.stages[1].inputs if len(manifest.stages) == 2 else ()


class Examination:
    """One release over images, one after the other. Lives in the child."""

    def __init__(self, manifest: bytes, files: Mapping[str, Path]) -> None:
        self._manifest = ReleaseManifest.from_bytes(manifest)
        self._pipelines = Pipelines(files.__getitem__)

    def answer(self, question: Question) -> Answered | None:
        """The release's answer; None where the image cannot be read any more."""
        manifest, memo = self._manifest, dict[str, Tensors]()
        wanted = pooled_inputs(manifest)
        known = bool(wanted) and all(name in question.features for name in wanted)
        shape = (1, manifest.input.edge_px, manifest.input.edge_px, 3)
        pixels = np.zeros(shape, dtype=np.float32)  # nobody looks at them where the features are known
        if known:
            kept = {name: question.features[name].reshape(1, -1) for name in wanted}
            memo[manifest.stages[0].sha256] = kept
        elif question.content is None:
            return None
        else:
            try:
                with open_image(question.content) as image:
                    pixels = prepare(image, manifest.input)
            except (OSError, MedMeshError):
                return None
        logits = self._pipelines.logits(manifest, pixels, memo)
        label = manifest.labels[int(scores(logits, manifest.calibration).argmax())].label
        return Answered(label, {} if known else _pooled(memo[manifest.stages[0].sha256], wanted))


def _pooled(outputs: Tensors, wanted: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
    return {n: outputs[n].ravel() for n in wanted if outputs[n].ndim == 2 and outputs[n].size <= _MOST_POOLED}


_running: list[tuple[Examination, float]] = []  # one a child


def _start(manifest: bytes, files: Mapping[str, Path], bounds: Bounds) -> None:
    limit_memory(bounds.memory_mb)
    limit_cpu(bounds.start_s)
    _running[:] = [(Examination(manifest, files), bounds.image_s)]


def _answer(question: Question) -> Answered | None:
    examination, image_s = _running[0]
    limit_cpu(image_s)  # anew for each image: one that never ends must not have the time of all
    return examination.answer(question)


def answers(
    manifest: bytes,
    files: Mapping[str, Path],
    questions: Sequence[Question],
    bounds: Bounds,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[Answered | None]:
    """Answers in the order of ``questions``. Blocking.

    Args:
        manifest: the release's.
        files: of its artifacts, verified, by digest.
        questions: the images.
        bounds: what the process may take.
        progress: called with the number of images done.

    Raises:
        AnswersDiedError: the process ended, or the release does not run.
    """
    start = (manifest, dict(files), bounds)
    context = get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=start) as pool:
            for done, found in enumerate(pool.map(_answer, questions, chunksize=8), start=1):
                progress(done)
                yield found
    except (BrokenProcessPool, MedMeshError, KeyError, ValueError) as error:
        raise AnswersDiedError from error
