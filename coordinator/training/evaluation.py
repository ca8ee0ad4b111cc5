"""Running released artifacts over any folder-per-class set, exactly as a node would."""

from __future__ import annotations

import csv
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
from coordinator.training.metrics import Figures
from protocols.imaging import ImageError, Quality, measure_quality, prepare
from protocols.manifest import ReleaseManifest
from protocols.novelty import Residuals
from protocols.pictures import open_picture
from protocols.pipeline import Pipelines, Tensors
from protocols.recognition import Answer, answer

FEW_GROUPS = 10  # below it the percentiles of a cluster bootstrap are rough


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
        with open_picture(task.image) as image:
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

    def figures(self) -> Figures:
        """Figures that count every image by its top label."""
        return metrics.describe(self.truth, self.scores[np.newaxis], self.groups)


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
        CoordinatorError: ``evaluate.labels_differ`` where a class folder is no label of the model, ``intake.…``, or
            ``train.bad_features`` where the model answers with something that is no number.
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
    if broken := sum(not np.isfinite(p.answer.scores).all() for _, p in usable):
        raise CoordinatorError("train.bad_features", count=broken)
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
    figures = evaluation.figures()
    auc = None if figures.auc_macro is None else figures.auc_macro.document()
    result = {
        "model": manifest.model,
        "version": manifest.version,
        "n": len(truth),
        "groups": figures.groups,
        "groups_given": evaluation.grouped,
        "seen_in_training": sum(p.sha256 in trained_on for p in evaluation.predictions),
        "rejected": evaluation.rejected,
        "accuracy": round(figures.accuracy, 4),
        "balanced_accuracy": figures.balanced_accuracy.document(),
        "auc_macro": auc and auc["value"],
        "auc_macro_interval": auc and {"low": auc["low"], "high": auc["high"]},
        "ece": round(figures.ece, 4),
        "coverage": {
            "stated": manifest.calibration.coverage,
            "measured": round(float(np.mean(covered)), 4),
            "mean_set_size": round(float(np.mean([len(a.in_set) for a in answers])), 4),
        },
        "outcomes": dict(Counter(a.outcome for a in answers)),
        "reasons": dict(Counter(reason for a in answers for reason in a.reasons)),
        "answered_only": answered_only(evaluation, names),
        "per_class": {name: row.document() for name, row in zip(names, figures.per_class, strict=True)},
        "confusion": {a: {b: int(table[i, j]) for j, b in enumerate(names)} for i, a in enumerate(names)},
    }
    return result | {"warnings": warnings(result, manifest)}


def answered_only(evaluation: Evaluation, names: list[str]) -> dict[str, Any]:
    """Figures of the images whose outcome is ``recognised`` alone; they leave the hard ones out, so never headline."""
    rows = np.array([p.answer.outcome == "recognised" for p in evaluation.predictions])
    share = round(float(rows.mean()), 4)
    if not rows.any():
        return {"n": 0, "share": share, "accuracy": None, "balanced_accuracy": None, "per_class": {}}
    figures = metrics.describe(evaluation.truth[rows], evaluation.scores[np.newaxis, rows], evaluation.groups[rows])
    return {
        "n": figures.images,
        "share": share,
        "accuracy": round(figures.accuracy, 4),
        "balanced_accuracy": figures.balanced_accuracy.document(),
        "per_class": {name: row.document() for name, row in zip(names, figures.per_class, strict=True)},
    }


def warnings(result: dict[str, Any], manifest: ReleaseManifest) -> list[dict[str, str]]:
    """Why the figures say less than they seem to."""
    found: list[dict[str, str]] = []

    def warn(code: str, en: str, zh: str) -> None:
        found.append({"code": f"evaluate.{code}", "text": en, "text_zh": zh})

    def names(chosen: Callable[[dict[str, Any]], bool]) -> list[str]:
        return [name for name, row in result["per_class"].items() if chosen(row)]

    if manifest.backbone is not None and manifest.backbone.id.startswith("random-"):
        warn(
            "random_backbone",
            "The backbone is random: this model recognises nothing.",
            "主干网络为随机权重：该模型没有识别能力。",
        )
    if seen := result["seen_in_training"]:
        warn(
            "seen_in_training",
            f"{seen} of these images were used in training: the figures flatter. Use unseen patients.",
            f"其中 {seen} 张图像曾用于训练，指标偏高。请使用未见过的患者。",
        )
    if not result["groups_given"]:
        warn(
            "no_groups",
            "No groups are given: intervals take every image for a patient of its own and may be too narrow.",
            "未提供分组：区间把每张图像视为不同患者，可能过窄。",
        )
    elif result["groups"] == 1:
        warn(
            "one_group", "All images are of one group: there are no intervals.", "所有图像属于同一分组：无法给出区间。"
        )
    elif few := names(lambda row: 0 < row["groups"] < FEW_GROUPS):
        warn(
            "few_groups",
            f"Fewer than {FEW_GROUPS} groups hold {', '.join(few)}: the intervals are rough and probably too narrow.",
            f"含 {'、'.join(few)} 的分组不足 {FEW_GROUPS} 个：区间粗略，可能过窄。",
        )
    if missing := names(lambda row: row["n"] == 0):
        warn(
            "class_missing",
            f"No image of {', '.join(missing)}: nothing is known about them here, and there is no macro AUC.",
            f"没有 {'、'.join(missing)} 的图像：无法评估这些类别，也没有宏平均 AUC。",
        )
    if rejected := len(result["rejected"]):
        warn(
            "rejected",
            f"{rejected} file(s) could not be read and are not counted.",
            f"{rejected} 个文件无法读取，未计入。",
        )
    if not result["answered_only"]["n"]:
        warn(
            "none_answered",
            "The model would have answered for none of these images.",
            "该模型对这些图像均不会给出答案。",
        )
    return found


def write_predictions(path: Path, manifest: ReleaseManifest, evaluation: Evaluation) -> None:
    """One row an image: file, group, label, predicted, outcome, a score for each label, then prediction set and reasons
    (joined by ``|``) and novelty, above 1 unfamiliar.
    """
    names = [x.label for x in manifest.labels]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["file", "group", "label", "predicted", "outcome", *names, "prediction_set", "reasons", "novelty"]
        )
        for i, name in enumerate(evaluation.files):
            row, found = evaluation.scores[i], evaluation.predictions[i].answer
            writer.writerow(
                [name, evaluation.groups[i], names[evaluation.truth[i]], names[int(row.argmax())], found.outcome]
                + [f"{x:.6f}" for x in row]
                + ["|".join(names[k] for k in found.in_set), "|".join(found.reasons)]
                + ["" if found.novelty is None else f"{found.novelty:.4f}"]
            )
