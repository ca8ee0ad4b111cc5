"""Training spatial heads, in the parent: what the ladder calls. TensorFlow runs in a child (``child``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordinator.engine.ending import lifeline
from coordinator.errors import CoordinatorError
from coordinator.store.blobs import replacing
from coordinator.training.spatial import curves, folding
from coordinator.training.spatial import job as jobs
from coordinator.training.spatial.child import FOLDED, result_path
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.folding import Arrays, Moments
from coordinator.training.spatial.job import Job
from coordinator.training.spatial.maps import Maps
from coordinator.training.spatial.teacher import TeacherConfig

ENCODINGS = ("int8", "float16")
_CHILD = "coordinator.training.spatial.child"
_BF16 = {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}  # products of a teacher, where the processor knows them (docs/adr/0026)

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called with epochs done, epochs in all and seconds left; what it raises cancels the training, which can be resumed."""


@dataclass(frozen=True)
class SpatialFit:
    """A trained spatial head.

    Attributes:
        files: TFLite bytes by encoding, ``int8`` and ``float16``; inputs ``<layer>_map``, outputs ``logits`` and ``evidence``.
        inputs: names of the trunk's outputs that the files take, in order.
        logits: float32 [images, labels] of the float head on the training images' cached maps.
        parameters: weights of the head.
        folded: file with the weights, for joining the head with another, or refining it.
    """

    files: dict[str, bytes]
    inputs: tuple[str, ...]
    logits: NDArray[np.float32]
    parameters: int
    folded: Path


def cross_validated(
    maps: Maps,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    plans: list[NDArray[np.int64]],
    config: SpatialConfig,
    work: Path,
    progress: Progress,
    taught: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Out-of-fold logits, float32 [repeats, images, labels].

    Args:
        maps: of all images.
        labels: int64 [images].
        groups: [images].
        plans: for each repeat the fold of each image, from ``folds.plans``.
        config: the head.
        work: folder for checkpoints; the same folder resumes where a killed training stopped.
        progress: told of every epoch.
        taught: as ``job.cross_validation`` takes it.

    Raises:
        CoordinatorError: ``train.spatial_…``.
    """
    job = jobs.cross_validation(maps, labels, groups, plans, config, taught)
    folder = _done(job, work, progress)
    found = [np.load(result_path(folder, number)) for number in range(len(plans))]
    return np.array([jobs.out_of_fold(x, plan, config.members) for x, plan in zip(found, plans, strict=True)])


def fitted(
    maps: Maps,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    config: SpatialConfig,
    work: Path,
    progress: Progress,
    taught: NDArray[np.float32] | None = None,
) -> SpatialFit:
    """The head fitted on all images, converted. Arguments and failures as ``cross_validated``."""
    job = jobs.final_fit(maps, labels, groups, config, ENCODINGS, taught)
    return _fit(_done(job, work, progress), config, job.classes)


def converted(maps: Maps, config: SpatialConfig, weights: Arrays, known: Moments, work: Path) -> SpatialFit:
    """A head that was fitted elsewhere, converted as ``fitted`` does it.

    Args:
        maps: of the images that its files are compared on.
        config: the head.
        weights: stacked over the members, with the standardisation folded in.
        known: the moments that are folded in.
        work: a folder of its own.

    Raises:
        CoordinatorError: ``train.spatial_…`` or ``train.conversion_…``.
    """
    Job(config, maps, np.zeros(maps.images, np.int64), (), ENCODINGS).save(work)
    with replacing(work / FOLDED) as file:
        folding.write(file, weights, known)
    if not _child(work, lambda *_: None, {}).finished:
        raise CoordinatorError("train.spatial_failed")
    return _fit(work, config, weights["answer"].shape[2])


def _fit(folder: Path, config: SpatialConfig, labels: int) -> SpatialFit:
    logits = np.load(result_path(folder, 0)).mean(axis=0)
    files = {encoding: (folder / f"{encoding}.tflite").read_bytes() for encoding in ENCODINGS}
    return SpatialFit(files, config.inputs, logits, config.parameters(labels), folder / FOLDED)


def teachers(
    maps: Maps,
    labels: NDArray[np.int64],
    learning: Sequence[NDArray[np.bool_]],
    config: TeacherConfig,
    backbones: Path,
    work: Path,
    progress: Progress,
) -> NDArray[np.float32]:
    """Answers of a teacher for each part of the images in ``learning``, float32 [parts, 1 + views, images, labels].

    View 0 is answered for all images, the others for those that were learnt alone; the rest is not a number.

    Raises:
        CoordinatorError: ``train.spatial_…`` or ``backbone.…``.
    """
    folder = _done(jobs.lessons(maps, labels, learning, config, backbones), work, progress)
    return np.array([np.load(result_path(folder, number)) for number in range(len(learning))])


def _done(job: Job, work: Path, progress: Progress) -> Path:
    """The folder with the job's results; trained now, or what is left of it."""
    folder = work / job.digest()[:24]
    if not result_path(folder, len(job.runs) - 1).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        job.save(folder)
        reached = -1
        quicker = _BF16 if isinstance(job.config, TeacherConfig) else {}
        while not (answer := _child(folder, progress, quicker)).finished:
            if answer.reached <= reached:
                raise CoordinatorError("train.spatial_failed")
            reached = answer.reached  # it was killed, but got further than the last: the next goes on from there
    return folder


@dataclass(frozen=True)
class _Answer:
    finished: bool
    reached: int  # epochs that are on the disk


def _child(folder: Path, progress: Progress, more: dict[str, str]) -> _Answer:
    """Run one child to its end, with ``more`` in its environment; the end of this process, or an exception of ``progress``,
    ends it too.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "1", **more}
    reached = -1
    with (folder / "child.log").open("wb") as log, lifeline() as stdin:
        process = subprocess.Popen(
            [sys.executable, "-m", _CHILD, str(folder)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                message = json.loads(line) if line.startswith(b"{") else {}
                if message.get("finished"):
                    return _Answer(True, reached)
                if "code" in message:
                    raise CoordinatorError(message["code"], **message["details"])
                if "loss" in message:
                    curves.listener.get()(curves.Point(**message))
                if "done" in message:
                    reached = int(message["done"])
                    progress(reached, int(message["total"]), float(message["left"]))
            killed = process.wait() < 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    if killed:
        return _Answer(False, reached)
    if os.environ.get("MEDMESH_DEBUG"):
        sys.stderr.write((folder / "child.log").read_text("utf-8", "replace"))
    raise CoordinatorError("train.spatial_failed")
