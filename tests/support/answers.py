"""Answers of a pretended model over pretended images, of people whose names must never show up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from coordinator.training import metrics, novelty
from coordinator.training.calibration import calibrate, calibration_methods, quality_method
from coordinator.training.evaluation import Evaluation, Prediction
from coordinator.training.ladder import frontier
from coordinator.training.ladder.climb import Verdict
from coordinator.training.ladder.comparison import Difference
from coordinator.training.ladder.frontier import Point
from coordinator.training.metrics import Interval
from coordinator.training.oof import OutOfFold
from protocols.imaging import Quality
from protocols.manifest import Backbone, Label, ReleaseManifest
from protocols.novelty import Residuals
from protocols.recognition import answer, scores
from tests.support.manifests import example

PATIENT = "patient-Zhang-San"
SHARP = Quality(5.0, 0.5, 0.9, 0.0)
BLURRED = Quality(0.1, 0.5, 0.9, 0.0)


def logits(truth: np.ndarray, classes: int, repeats: int = 1, seed: int = 0, lead: float = 1.5) -> np.ndarray:
    """float32 [repeats, images, labels] that know the truth ``lead`` standard deviations well."""
    found = np.random.default_rng(seed).normal(0, 1, (repeats, len(truth), classes))
    found[:, np.arange(len(truth)), truth] += lead
    return found.astype(np.float32)


def trained(
    names: tuple[str, ...] = ("parasitized", "uninfected"),
    images: int = 240,
    groups: int = 40,
    repeats: int = 1,
    backbone: str = "nsfwjs-4.4.0",
) -> tuple[ReleaseManifest, OutOfFold]:
    """A manifest with the figures of its out-of-fold answers, as training makes them."""
    chance = np.random.default_rng(1)
    truth = np.arange(images) % len(names)
    found = OutOfFold(
        tuple(chance.bytes(32).hex() for _ in range(images)),
        chance.integers(0, groups, images),
        truth,
        logits(truth, len(names), repeats),
    )
    calibration = calibrate(found.logits, truth, found.groups.astype(str))
    figures = metrics.describe(truth, scores(found.logits, calibration), found.groups)
    manifest = replace(
        example(),
        labels=tuple(Label(n, "malaria" if i == 0 else None, "disease" if i == 0 else "normal") for i, n in enumerate(names)),
        calibration=calibration,
        backbone=Backbone(backbone, "d" * 64, "MIT", "npm package nsfwjs 4.4.0"),
        metrics={
            "method": "nested cross-validation by group",
            "n": images,
            "groups": figures.groups,
            "balanced_accuracy": figures.balanced_accuracy.document(),
            "auc_macro": figures.auc_macro and round(figures.auc_macro.value, 4),
            "ece": round(figures.ece, 4),
            "per_class": {n: row.document() for n, row in zip(names, figures.per_class, strict=True)},
        },
        data={"dataset": "malaria", "images": images, "groups": figures.groups},
        methods={
            **calibration_methods(images, figures.groups),
            **novelty.methods(images),
            "quality": quality_method(100),
        },
    )  # fmt: skip
    return manifest, found


def training() -> dict[str, Any]:
    """What training records besides."""
    return {
        "dataset": "malaria",
        "taps": ["mixed7_avg"],
        "head_weights": "int8",
        "regularisation": 0.01,
        "views": 800,
        "effort": "quick",
        "backbone": "nsfwjs-4.4.0",
        "rungs": [
            rung("last pool", 0.8, 9000, "first"),
            rung("chosen taps", 0.9, 5000, "contains", True, 0.1, ["mixed7_avg"]),
            rung("better linear fit", 0.9, 5000, "not_shown", False, 0.004, ["mixed7_avg"]),
        ],
        "frontier": frontier.document(
            [Point("last pool", 9000, 0.8, 0.7, 0.9), Point("chosen taps", 5000, 0.9, 0.8, 1.0, True)]
        ),
        "chosen_in_folds": {"chosen taps": 4, "last pool": 1},
        "backbones": [],
    }


def rung(
    name: str, value: float, size: int, why: str, chosen: bool = False, gain: float | None = None, inputs: Any = ()
) -> dict[str, Any]:
    """A row of the ladder as training records it."""
    interval = None if gain is None else Interval(gain, gain - 0.05, gain + 0.05)
    difference = interval and Difference(interval, Interval(-gain if gain else 0.0, -0.1, 0.1))
    verdict = Verdict(why not in ("not_shown", "worse"), why, gain and "last pool", difference)
    return {
        "name": name,
        "backbone": "nsfwjs-4.4.0",
        "inputs": list(inputs),
        "balanced_accuracy": value,
        "low": value - 0.1,
        "high": min(value + 0.1, 1.0),
        "bytes": size,
        "chosen": chosen,
        **verdict.document(),
    }


def evaluation(
    manifest: ReleaseManifest, truth: np.ndarray, groups: np.ndarray | None = None, blurred: int = 0, seed: int = 2
) -> Evaluation:
    """Answers for images of ``truth``; the first ``blurred`` ones are too blurred to answer."""
    residuals = Residuals(1.0, 1.0)
    rows = logits(truth, len(manifest.labels), seed=seed)[0]
    qualities = [BLURRED if i < blurred else SHARP for i in range(len(truth))]
    predictions = [
        Prediction(answer(manifest, row, quality, residuals), row, quality, residuals, f"{i:064x}")
        for i, (row, quality) in enumerate(zip(rows, qualities, strict=True))
    ]
    files = [f"{manifest.labels[t].label}/{i}.png" for i, t in enumerate(truth)]
    return Evaluation(
        files=files,
        groups=np.array(files) if groups is None else groups,
        truth=truth,
        scores=np.stack([p.answer.scores for p in predictions]),
        predictions=predictions,
        rejected=[],
        grouped=groups is not None,
    )
