"""Running released artifacts over any folder-per-class set, exactly as a node would."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.intake.groups import read_groups
from coordinator.intake.images import kept_copy
from coordinator.intake.source import open_training_set
from coordinator.store.blobs import FolderBlobs
from coordinator.training import metrics
from protocols.imaging import ImageError, Quality, measure_quality, open_image, prepare
from protocols.manifest import ReleaseManifest
from protocols.novelty import Residuals
from protocols.pipeline import Pipelines, Tensors
from protocols.recognition import Answer, answer


@dataclass(frozen=True)
class _Task:
    image: Path
    manifest: bytes
    artifacts: Path


@dataclass(frozen=True)
class Prediction:
    """One image's answer and what it was made from.

    ``sha256`` is that of the copy that the coordinator would keep, so that training images are recognised.
    """

    answer: Answer
    logits: NDArray[np.float32]
    quality: Quality
    residuals: Residuals | None
    sha256: str


_loaded: dict[bytes, tuple[ReleaseManifest, Pipelines]] = {}  # one a worker process


def predict(task: _Task) -> Prediction | str:
    """Answer for one image; the error's code where it cannot be read. Runs in a worker."""
    if task.manifest not in _loaded:
        _loaded[task.manifest] = (
            ReleaseManifest.from_bytes(task.manifest),
            Pipelines(FolderBlobs(task.artifacts).path),
        )
    manifest, pipelines = _loaded[task.manifest]
    try:
        with open_image(task.image) as image:
            pixels = prepare(image, manifest.input)
        kept = hashlib.sha256(kept_copy(task.image)).hexdigest()
    except ImageError as error:
        return error.code
    memo: dict[str, Tensors] = {}
    logits = pipelines.logits(manifest, pixels, memo)
    quality, residuals = measure_quality(pixels, manifest.input), pipelines.residuals(manifest, pixels, memo)
    return Prediction(answer(manifest, logits, quality, residuals), logits, quality, residuals, kept)


@dataclass(frozen=True)
class Evaluation:
    """All answers over a set.

    Attributes:
        files: names as in the set.
        truth: int64 [images].
        scores: float64 [images, labels].
    """

    files: list[str]
    groups: NDArray[np.str_]
    truth: NDArray[np.int64]
    scores: NDArray[np.float64]
    predictions: list[Prediction]
    rejected: list[dict[str, str]]
    grouped: bool


def evaluate(
    manifest: ReleaseManifest,
    artifacts: Path,
    source: Path,
    groups_csv: Path | None,
    engine: Engine,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Run a model over a folder or zip.

    Raises:
        CoordinatorError: ``evaluate.labels_differ`` where a class folder is no label of the model, or ``intake.…``.
    """
    names = [x.label for x in manifest.labels]
    with tempfile.TemporaryDirectory() as folder, open_training_set(source, Path(folder)) as found:
        classes = sorted({m.label for m in found.members})
        if not set(classes) <= set(names):
            raise CoordinatorError("evaluate.labels_differ", found=", ".join(classes), wanted=", ".join(names))
        groups_file = groups_csv or found.groups_file
        groups = read_groups(groups_file, {m.name for m in found.members}, found.wrapper) if groups_file else {}
        tasks = [_Task(m.path, manifest.to_bytes(), artifacts) for m in found.members]
        predictions: list[Prediction | str] = []
        for prediction in engine.map(predict, tasks):
            predictions.append(prediction)
            progress(len(predictions), len(tasks))
    pairs = list(zip(found.members, predictions, strict=True))
    usable = [(m, p) for m, p in pairs if not isinstance(p, str)]
    missing = [m.name for m, _ in usable if groups and m.name not in groups]
    if missing:
        raise CoordinatorError("intake.groups_missing", count=len(missing), example=missing[0])
    if not usable:
        raise CoordinatorError("intake.no_classes", path=source.name, found=0)
    return Evaluation(
        files=[m.name for m, _ in usable],
        groups=np.array([groups.get(m.name, m.name) for m, _ in usable]),
        truth=np.array([names.index(m.label) for m, _ in usable], dtype=np.int64),
        scores=np.array([p.answer.scores for _, p in usable]),
        predictions=[p for _, p in usable],
        rejected=[{"file": m.name, "code": p} for m, p in pairs if isinstance(p, str)],
        grouped=bool(groups),
    )


def document(manifest: ReleaseManifest, evaluation: Evaluation, trained_on: set[str]) -> dict[str, Any]:
    """The figures; headline ones count every image by its top label, whatever the outcome.

    Args:
        manifest: of the model.
        evaluation: its answers.
        trained_on: digests of the images it was trained on; figures on those flatter.
    """
    names = [x.label for x in manifest.labels]
    truth, predicted = evaluation.truth, evaluation.scores.argmax(axis=1)
    table = metrics.confusion(truth, predicted, len(names))
    answers = [p.answer for p in evaluation.predictions]
    covered = [int(t) in a.in_set for t, a in zip(truth, answers, strict=True)]
    auc = metrics.auc_macro(truth, evaluation.scores)
    interval = metrics.balanced_accuracy_interval(truth, predicted, evaluation.groups, len(names))
    return {
        "model": manifest.model,
        "version": manifest.version,
        "n": len(truth),
        "groups": len(set(evaluation.groups.tolist())),
        "groups_given": evaluation.grouped,
        "seen_in_training": sum(p.sha256 in trained_on for p in evaluation.predictions),
        "rejected": evaluation.rejected,
        "accuracy": round(float((truth == predicted).mean()), 4),
        "balanced_accuracy": interval.document(),
        "auc_macro": None if auc is None else round(auc, 4),
        "ece": round(metrics.expected_calibration_error(truth, evaluation.scores), 4),
        "coverage": {
            "stated": manifest.calibration.coverage,
            "measured": round(float(np.mean(covered)), 4),
            "mean_set_size": round(float(np.mean([len(a.in_set) for a in answers])), 4),
        },
        "outcomes": dict(Counter(a.outcome for a in answers)),
        "reasons": dict(Counter(reason for a in answers for reason in a.reasons)),
        "per_class": metrics.per_class(table, names),
        "confusion": {a: {b: int(table[i, j]) for j, b in enumerate(names)} for i, a in enumerate(names)},
    }
