"""What a child is asked to train: which head learns from which images. Pure, apart from the two files that carry it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordinator.store.blobs import write_atomically
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import Maps
from coordinator.training.spatial.teacher import TeacherConfig, targets

_VERSION = 2  # rises when the same job would be trained otherwise
AnyConfig: TypeAlias = SpatialConfig | TeacherConfig


@dataclass(frozen=True)
class Run:
    """Heads that are trained together: one for each fold and member, members of a fold side by side.

    Attributes:
        train: bool [heads, images], what each is fitted on.
        validation: bool [heads, images], what its epoch is chosen by; none: the last epoch.
        seeds: of each head.
        targets: float32 [heads, 1 + views, images, labels], what a teacher has to say about the images that each head is
            fitted on; None: the labels are the targets.
    """

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    seeds: tuple[tuple[int, ...], ...]
    targets: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Job:
    """Runs that follow one another.

    Attributes:
        config: of every head, or of a teacher, which is one network a run.
        maps: of all images.
        labels: int64 [images].
        runs: what is trained; none: the weights that lie in the folder are converted.
        encodings: of the files wanted of the last run's heads; none: only their logits.
        backbones: folder with fetched weights, for a teacher.
    """

    config: AnyConfig
    maps: Maps
    labels: NDArray[np.int64]
    runs: tuple[Run, ...]
    encodings: tuple[str, ...] = ()
    backbones: Path = Path()

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return int(self.labels.max()) + 1

    def digest(self) -> str:
        """Names the job: the same one gives the same result, wherever its maps lie."""
        found = hashlib.sha256(
            json.dumps([_VERSION, self.config.document(), self.maps.identity, self.encodings]).encode()
        )
        found.update(self.labels.tobytes())
        for run in self.runs:
            found.update(run.train.tobytes() + run.validation.tobytes() + repr(run.seeds).encode())
            found.update(b"" if run.targets is None else run.targets.tobytes())
        return found.hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``job.json`` and ``job.npz``."""
        arrays: dict[str, Any] = {f"places/{layer}": places for layer, places in self.maps.places.items()}
        for number, run in enumerate(self.runs):
            arrays |= {f"train/{number}": run.train, f"validation/{number}": run.validation}
            arrays |= {} if run.targets is None else {f"targets/{number}": run.targets}
        buffer = io.BytesIO()
        np.savez(buffer, labels=self.labels, **arrays)
        write_atomically(folder / "job.npz", buffer.getvalue())
        document = {
            "config": self.config.document(),
            "teacher": isinstance(self.config, TeacherConfig),
            "identity": self.maps.identity,
            "shape": self.maps.shape,
            "shards": [str(p) for p in self.maps.shards],
            "seeds": [run.seeds for run in self.runs],
            "encodings": self.encodings,
            "backbones": str(self.backbones),
        }
        write_atomically(folder / "job.json", json.dumps(document).encode())

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Read what ``save`` wrote."""
        document = json.loads((folder / "job.json").read_text("utf-8"))
        with np.load(folder / "job.npz") as arrays:
            places = {n.removeprefix("places/"): arrays[n] for n in arrays.files if n.startswith("places/")}
            runs = tuple(
                Run(
                    arrays[f"train/{n}"],
                    arrays[f"validation/{n}"],
                    tuple(tuple(s) for s in seeds),
                    arrays[f"targets/{n}"] if f"targets/{n}" in arrays.files else None,
                )
                for n, seeds in enumerate(document["seeds"])
            )
            labels = arrays["labels"]
        maps = Maps(document["identity"], tuple(document["shape"]), tuple(Path(s) for s in document["shards"]), places)
        kind = TeacherConfig if document["teacher"] else SpatialConfig
        config: AnyConfig = kind.from_document(document["config"])
        return cls(config, maps, labels, runs, tuple(document["encodings"]), Path(document["backbones"]))


def cross_validation(
    maps: Maps,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    plans: list[NDArray[np.int64]],
    config: SpatialConfig,
    taught: NDArray[np.float32] | None = None,
) -> Job:
    """A run for each repeat; its heads are those of every fold, members side by side.

    ``taught``: answers of the folds' teachers, float32 [folds, 1 + views, images, labels], where there is one repeat.
    """
    runs = []
    for repeat, plan in enumerate(plans):
        folds = np.unique(plan)
        learning = [plan != fold for fold in folds]
        seeds = [(config.seed, repeat, int(fold), member) for fold in folds for member in range(config.members)]
        runs.append(_run(labels, groups, learning, seeds, config, taught))
    return Job(config, maps, labels, tuple(runs))


def final_fit(
    maps: Maps,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    config: SpatialConfig,
    encodings: tuple[str, ...],
    taught: NDArray[np.float32] | None = None,
) -> Job:
    """One run on all images. ``taught``: answers of a teacher that has learnt all, float32 [1, 1 + views, images, labels]."""
    seeds = [(config.seed, 1_000_000, 0, member) for member in range(config.members)]
    run = _run(labels, groups, [np.ones(len(labels), dtype=bool)], seeds, config, taught)
    return Job(config, maps, labels, (run,), encodings)


def lessons(
    maps: Maps,
    labels: NDArray[np.int64],
    learning: Sequence[NDArray[np.bool_]],
    config: TeacherConfig,
    backbones: Path,
) -> Job:
    """A teacher for each part of the images in ``learning``, one after the other; the same part gives the same teacher."""
    nobody = np.zeros((1, len(labels)), dtype=bool)
    runs = tuple(Run(rows[np.newaxis], nobody, ((config.seed, 2_000_000),)) for rows in learning)
    return Job(config, maps, labels, runs, backbones=backbones)


def out_of_fold(logits: NDArray[np.float32], plan: NDArray[np.int64], members: int) -> NDArray[np.float32]:
    """Logits [images, labels] of the heads that had not seen the image, from all heads' [heads, images, labels]."""
    mean = logits.reshape(-1, members, *logits.shape[1:]).mean(axis=1)
    _, fold = np.unique(plan, return_inverse=True)
    return np.asarray(mean[fold, np.arange(len(plan))], dtype=np.float32)


def class_weights(labels: NDArray[np.int64], power: float) -> NDArray[np.float32]:
    """Weight of each image [images]: its class's count to minus ``power``; their mean is 1."""
    counts = np.bincount(labels).astype(np.float64)
    weights = np.power(np.maximum(counts, 1), -power)[labels]
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def held_back(labels: NDArray[np.int64], groups: NDArray[np.str_], share: float) -> NDArray[np.bool_]:
    """Images [images] of about ``share`` of the groups, by hash of the group; none where a class would be left without images."""
    if not share:
        return np.zeros(len(labels), dtype=bool)
    unique, inverse = np.unique(groups, return_inverse=True)
    number = [int.from_bytes(hashlib.sha256(f"validation:{g}".encode()).digest()[:8]) / 2**64 for g in unique]
    found = (np.array(number) < share)[inverse]
    return found if set(labels[~found]) == set(labels) == set(labels[found]) else np.zeros(len(labels), dtype=bool)


def _run(
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    learning: list[NDArray[np.bool_]],
    seeds: Sequence[tuple[int, ...]],
    config: SpatialConfig,
    taught: NDArray[np.float32] | None,
) -> Run:
    train, validation, told = [], [], []
    for part, rows in enumerate(learning):
        kept = np.zeros(len(labels), dtype=bool)
        kept[rows] = held_back(labels[rows], groups[rows], config.validation)
        train += [rows & ~kept] * config.members
        validation += [kept] * config.members
        if taught is not None:
            told += [targets(labels, taught[part], rows & ~kept, config)] * config.members
    return Run(np.array(train), np.array(validation), tuple(seeds), np.array(told) if told else None)
