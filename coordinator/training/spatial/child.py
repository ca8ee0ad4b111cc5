"""The child that trains: ``python -m coordinator.training.spatial.child FOLDER``. TensorFlow starts here and ends with it.

After every epoch, weights, the optimiser's memory and the count of epochs are on the disk, whole or not at all. Everything
random follows from the seed and the epoch, so that a training that was killed goes on as if it had not been. Answers are JSON
lines on stdout. When the parent goes, so does the child: its end of stdin closes.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coordinator.engine.ending import end_with_stdin
from coordinator.errors import CoordinatorError
from coordinator.store.blobs import replacing
from coordinator.training.spatial import folding
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.folding import Arrays
from coordinator.training.spatial.job import AnyConfig, Job, Run, class_weights
from coordinator.training.spatial.maps import MapReader
from coordinator.training.spatial.teacher import TeacherConfig
from protocols.errors import MedMeshError

Tell = Callable[[int], None]
Plot = Callable[[int, float, float | None], None]


class Learner(Protocol):
    """What is trained: networks side by side, of which the first axis of every weight is the network.

    ``network.Heads`` says what the methods do.
    """

    def weights(self) -> Arrays: ...
    def replace(self, weights: Arrays) -> None: ...
    def state(self) -> list[NDArray[Any]]: ...
    def restore(self, state: list[NDArray[Any]]) -> None: ...
    def step(
        self, maps: dict[str, Any], targets: NDArray[np.float32], weights: NDArray[np.float32], seed: int
    ) -> Any: ...
    def logits(self, reader: MapReader, images: NDArray[np.int64]) -> NDArray[np.float32]: ...


@dataclass
class Best:
    """The epoch that each head's validation images chose."""

    weights: Arrays
    loss: NDArray[np.float64]  # [heads]
    waited: NDArray[np.int64]  # [heads], epochs since


FOLDED = "folded.npz"  # weights of the last run, as they are exported, and the moments in them


def result_path(folder: Path, run: int) -> Path:
    """Logits float32 [heads, images, labels] of a finished run; a teacher's are [1 + views, images, labels]."""
    return folder / f"run-{run}.npy"


def train_run(
    job: Job, run: Run, heads: Learner, reader: MapReader, checkpoint: Path, tell: Tell, plot: Plot = lambda *_: None
) -> None:
    """Train one run to its end, from its checkpoint where there is one; ``heads`` then hold the chosen weights.

    ``tell`` hears of each epoch that is on the disk, ``plot`` of its loss and that of the validation images.

    Raises:
        CoordinatorError: ``train.spatial_diverged``.
    """
    config = job.config
    targets = _targets(job.labels, job.classes, config.label_smoothing)
    weights = np.array([_weights(job.labels, rows, config) for rows in run.train])
    first, best = _restore(checkpoint, heads, len(run.seeds))
    learning = np.flatnonzero(run.train.any(axis=0))
    for epoch in range(first, config.epochs):
        if best is not None and (best.waited >= config.patience).all():
            break
        images, views = order(learning, job.maps.views, epoch, config)
        loss: Any = 0.0
        summed, found = [], None
        for step, start in enumerate(range(0, len(images), config.batch)):
            some, seen = images[start : start + config.batch], views[start : start + config.batch]
            maps: dict[str, Any] = {layer: reader.read(layer, some, seen) for layer in config.maps}
            shown = targets[some] if run.targets is None else run.targets[:, seen, some]
            loss = heads.step(maps, shown, weights[:, some], epoch * 1_000_000 + step)
            summed.append(loss)
        if not np.isfinite(float(loss)):
            raise CoordinatorError("train.spatial_diverged")
        if run.validation.any():
            found = _losses(job, run, heads, reader, targets)
            best = _better(best, heads, found, run)
        _save(checkpoint, epoch + 1, heads, best)
        tell(epoch + 1)
        plot(epoch + 1, _trained(summed, run, config), _mean(found))
    if best is not None:
        heads.replace(best.weights)


def _trained(summed: list[Any], run: Run, config: AnyConfig) -> float:
    """Training loss of an epoch, mean over images and heads: ``_weights`` of each head add up to all images / batch."""
    return sum(float(loss) for loss in summed) * config.batch / run.train.size


def _mean(losses: NDArray[np.float64] | None) -> float | None:
    """Over the heads that have validation images."""
    return None if losses is None else float(losses[np.isfinite(losses)].mean())


def order(
    learning: NDArray[np.int64], views: int, epoch: int, config: AnyConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The images of an epoch in order, and the view that is shown of each."""
    chance = np.random.default_rng((config.seed, epoch))
    images = chance.permutation(learning)
    usable = min(views, config.views)
    altered = chance.random(len(images)) < (config.view_share if usable else 0.0)
    return images, np.where(altered, chance.integers(1, usable + 1, len(images)) if usable else 0, 0)


def _targets(labels: NDArray[np.int64], classes: int, smoothing: float) -> NDArray[np.float32]:
    return (np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes).astype(np.float32)


def _weights(labels: NDArray[np.int64], rows: NDArray[np.bool_], config: AnyConfig) -> NDArray[np.float32]:
    """Weight of each image for one head: over a batch they add up to 1 in the mean."""
    weights = np.zeros(len(labels), dtype=np.float32)
    weights[rows] = class_weights(labels[rows], config.class_power) / (rows.mean() * config.batch)
    return weights


def _losses(job: Job, run: Run, heads: Learner, reader: MapReader, targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Validation loss of each head, every class counting alike as in training; infinite where there are no images."""
    rows = np.flatnonzero(run.validation.any(axis=0))
    logits = heads.logits(reader, rows).astype(np.float64)
    peak = logits.max(axis=2, keepdims=True)
    normal = logits - peak - np.log(np.exp(logits - peak).sum(axis=2, keepdims=True))
    losses = -(normal * targets[rows]).sum(axis=2)
    result = np.full(len(losses), np.inf)
    for head, own in enumerate(run.validation[:, rows]):
        if own.any():
            weights = class_weights(job.labels[rows][own], job.config.class_power)
            result[head] = float((losses[head][own] * weights).sum() / weights.sum())
    return result


def _better(best: Best | None, heads: Learner, losses: NDArray[np.float64], run: Run) -> Best:
    """Keep each head's weights where its loss fell; a head without validation images always takes the last."""
    weights = heads.weights()
    if best is None:
        return Best(weights, losses, np.zeros(len(losses), dtype=np.int64))
    improved = (losses < best.loss) | ~run.validation.any(axis=1)
    for name, value in weights.items():
        best.weights[name][improved] = value[improved]
    return Best(best.weights, np.where(improved, losses, best.loss), np.where(improved, 0, best.waited + 1))


def _save(path: Path, epoch: int, heads: Learner, best: Best | None) -> None:
    arrays: dict[str, Any] = {f"state/{n}": value for n, value in enumerate(heads.state())}
    if best is not None:
        arrays |= {f"best/{name}": value for name, value in best.weights.items()}
        arrays |= {"loss": best.loss, "waited": best.waited}
    with replacing(path) as file:
        np.savez(file, epoch=np.array(epoch), **arrays)


def _restore(path: Path, heads: Learner, count: int) -> tuple[int, Best | None]:
    """Epochs done and the best so far; a checkpoint that cannot be read counts as none."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            state = [arrays[f"state/{n}"] for n in range(sum(n.startswith("state/") for n in arrays.files))]
            names = [n for n in arrays.files if n.startswith("best/")]
            weights = {n.removeprefix("best/"): arrays[n] for n in names}
            best = Best(weights, arrays["loss"], arrays["waited"]) if names else None
            epoch = int(arrays["epoch"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return 0, None
    heads.restore(state)
    return epoch, best


class _Report:
    """Tells the parent how far all runs are and how long they will take."""

    def __init__(self, job: Job) -> None:
        self._epochs = job.config.epochs
        self._total = len(job.runs) * self._epochs
        self._started = time.monotonic()
        self._new = 0

    def told(self, run: int, epoch: int) -> None:
        done = run * self._epochs + epoch
        self._new += 1
        left = (time.monotonic() - self._started) / self._new * (self._total - done)
        _say({"done": done, "total": self._total, "left": round(left, 1)})


def main(folder: Path) -> dict[str, Any]:
    """Do the job in ``folder``; finished runs are not done again."""
    from coordinator.training.spatial import network

    network.prepare()
    job = Job.load(folder)
    config, report, reader = job.config, _Report(job), MapReader(job.maps)
    if not job.runs:
        _export(job, reader, folder)
    for number, run in enumerate(job.runs):
        last = bool(job.encodings) and number == len(job.runs) - 1
        if result_path(folder, number).is_file() and not last:
            continue
        heads = _begun(job, run, reader)
        checkpoint = folder / f"run-{number}.checkpoint"
        plot = partial(_say_losses, f"{folder.name[:8]}/{number}", "+".join(config.maps))
        train_run(job, run, heads, reader, checkpoint, lambda epoch, n=number: report.told(n, epoch), plot)  # type: ignore[misc]
        logits = heads.results(reader, job.maps.images, run)
        if last and isinstance(config, SpatialConfig):
            weights, known = heads.folded()
            with replacing(folder / FOLDED) as file:
                folding.write(file, weights, known)
            network.export(config, weights, job.maps.shape, job.encodings, folder)
        with replacing(result_path(folder, number)) as file:
            np.save(file, logits)
        checkpoint.unlink(missing_ok=True)
    return {"finished": True}


def _begun(job: Job, run: Run, reader: MapReader) -> Any:
    """What a run trains, before its first step."""
    config = job.config
    steps = config.epochs * -(-int(run.train.any(axis=0).sum()) // config.batch)
    if isinstance(config, TeacherConfig):
        from coordinator.training.spatial import upper

        return upper.Upper(config, job.backbones, job.classes, run.seeds[0], steps)
    from coordinator.training.spatial import network

    known = network.moments(reader, config.maps, job.maps.images, run.train)
    start = network.initial(config, job.maps.shape[2], job.classes, list(run.seeds))
    return network.Heads(config, start, known, steps)


def _say_losses(run: str, name: str, epoch: int, loss: float, validation: float | None) -> None:
    _say({"run": run, "name": name, "epoch": epoch, "loss": loss, "validation": validation})


def _export(job: Job, reader: MapReader, folder: Path) -> None:
    """Convert the weights that lie in the folder."""
    from coordinator.training.spatial import network

    assert isinstance(job.config, SpatialConfig)
    weights, known = folding.read(folder / FOLDED)
    heads = network.Heads(job.config, folding.unfolded(job.config, weights, known), known, 1)
    network.export(job.config, weights, job.maps.shape, job.encodings, folder)
    with replacing(result_path(folder, 0)) as file:
        np.save(file, heads.logits(reader, np.arange(job.maps.images)))


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write("\n" + json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    end_with_stdin()
    try:
        _say(main(Path(sys.argv[1])))
    except MedMeshError as error:
        _say({"code": error.code, "details": {k: str(v) for k, v in error.details.items()}})
    os._exit(0)  # TensorFlow's threads may outlive what is of use
