"""Training one model version: features, choice of taps, head, calibration, manifest. Blocking; run it in a thread."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake import shortcuts
from coordinator.intake.samples import Sample
from coordinator.store.blobs import FolderBlobs
from coordinator.store.described import described
from coordinator.training import convert, folds, golden, metrics, novelty, oof, parity, selection, views
from coordinator.training.calibration import calibrate, calibration_methods, quality_limits, quality_method
from coordinator.training.features import Extraction, FeatureCache
from coordinator.training.linear import LinearHead
from coordinator.training.selection import CrossValidation, Data
from coordinator.training.trunks import ReadyTrunk, Trunks
from protocols.artifacts import Artifact
from protocols.imaging import Quality
from protocols.manifest import Calibration, Golden, Label, NoveltyLimits, ReleaseManifest, Stage
from protocols.pipeline import LOGITS, Pipelines, StageRunner
from protocols.recognition import scores
from protocols.selftest import golden_scores

LEAST_IMAGES = 5
USUAL_BUDGET_KB = 60
LEAST_NODE_VERSION = "0.1.0"
VIEWS = {"quick": (1, 150), "standard": (1, 4000), "full": (2, 8000)}  # views an image, at most so many images
DEGRADED_IMAGES = 100
Effort = Literal["quick", "standard", "full"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is to be trained."""

    dataset: str
    disease: str
    version: int
    samples: list[Sample]
    labels: list[Label]  # in the order of the sorted class names
    backbone: str
    effort: Effort
    budget_kb: int | None
    now: datetime


@dataclass(frozen=True)
class Trained:
    """A model version: its manifest, and the figures that ``train`` prints."""

    manifest: ReleaseManifest
    document: dict[str, Any]


class _Clock:
    """Seconds spent in each part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.monotonic()

    @contextmanager
    def part(self, name: str) -> Any:
        before = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - before, 1)
        self.seconds["total"] = round(time.monotonic() - self._start, 1)


class Trainer:
    """Trains heads on the features of a frozen trunk. Writes only immutable artifacts; the caller records the model."""

    def __init__(self, home: Home, engine: Engine) -> None:
        self._home = home
        self._engine = engine
        self._artifacts = FolderBlobs(home.artifacts)
        self._images = FolderBlobs(home.images)

    def train(self, plan: Plan, progress: Progress) -> Trained:
        """Train.

        Raises:
            CoordinatorError: ``train.…`` or ``backbone.…``; nothing is recorded then.
        """
        check_samples(plan.samples, selection.REPEATS[plan.effort])
        clock = _Clock()
        with clock.part("backbone"):
            progress("backbone", 0, 1)
            trunk = Trunks(self._home).make(plan.backbone)
            progress("backbone", 1, 1)
        with clock.part("features"):
            extraction = self._extract(plan.samples, trunk, 0, progress, "features")
        with clock.part("views"):
            altered = self._altered(plan, trunk, progress)
        data = as_data(plan, extraction, altered)
        candidates = within_budget(plan, data)
        with clock.part("selection"):
            validation = selection.cross_validate(
                data, candidates, selection.REPEATS[plan.effort], lambda d, t: progress("selection", d, t)
            )
            choice = selection.choose(data, candidates)
            linear = selection.fit(data, choice)
        with clock.part("head"):
            progress("head", 0, 1)
            head, encoding, found_parity = self._encode_head(linear, choice.tap_set.taps, data, plan)
            manifest = self._manifest(plan, trunk, head, choice.tap_set.taps, data, extraction, validation)
            progress("head", 1, 1)
        overhead = len(head) - linear.weights.size * encoding.bytes_per_weight
        document = {
            "model": manifest.model,
            "version": manifest.version,
            "dataset": plan.dataset,
            "backbone": trunk.backbone.id,
            "effort": plan.effort,
            "taps": list(choice.tap_set.taps),
            "regularisation": choice.strength,
            "head_weights": encoding.name,
            "parity": found_parity,
            "rungs": rungs(data, validation, candidates, encoding.bytes_per_weight, overhead),
            "metrics": manifest.metrics,
            "features_computed": extraction.computed,
            "features_cached": len(plan.samples) - extraction.computed,
            "views": len(data.source),
            "shortcuts": [a.document() for a in shortcuts.audit(plan.samples) if a.found],
            "out_of_fold": oof.keep(
                FolderBlobs(self._home.out_of_fold),
                [s.sha256 for s in plan.samples],
                data.groups,
                data.labels,
                validation.nested,
            ),
            "seconds": clock.seconds,
            "artifacts": [a.document() for a in manifest.artifacts],
        }
        return Trained(manifest, document)

    def _extract(
        self, samples: list[Sample], trunk: ReadyTrunk, view: int, progress: Progress, part: str
    ) -> Extraction:
        return FeatureCache(self._home.features).extract(
            [(s.sha256, self._images.path(s.sha256)) for s in samples],
            trunk.trunk,
            self._engine,
            lambda done, total: progress(part, done, total),
            view,
        )

    def _altered(self, plan: Plan, trunk: ReadyTrunk, progress: Progress) -> Altered:
        """Features of altered views; of the images with the lowest digests where there are very many."""
        count, most = VIEWS[plan.effort]
        chosen = np.sort(np.argsort([s.sha256 for s in plan.samples], kind="stable")[:most])
        samples = [plan.samples[i] for i in chosen]
        found = [self._extract(samples, trunk, view, progress, "views") for view in range(1, count + 1)]
        return Altered(
            {tap: np.concatenate([f.taps[tap] for f in found]) for tap in found[0].taps}, np.tile(chosen, count)
        )

    def _degraded(self, samples: list[Sample], trunk: ReadyTrunk) -> list[dict[str, Quality]]:
        """Quality of degraded copies of some images."""
        step = -(-len(samples) // DEGRADED_IMAGES)
        tasks = [(self._images.path(s.sha256), trunk.trunk.spec) for s in samples[::step]]
        return list(self._engine.map(views.degraded_quality, tasks))

    def _encode_head(
        self, linear: LinearHead, taps: tuple[str, ...], data: Data, plan: Plan
    ) -> tuple[bytes, Encoding, dict[str, Any]]:
        """Convert the head: int8 if it answers like the float head, else float16; with how well it does.

        One that does not even as float16 is returned all the same: the parity gate refuses its release with the figures.
        """
        channels = [data.taps[t].shape[1] for t in taps]
        reference = linear.logits(np.concatenate([data.taps[t] for t in taps], axis=1))
        with tempfile.TemporaryDirectory() as folder:
            files = convert.convert_head(linear, taps, channels, Path(folder), [e.name for e in ENCODINGS])
            for encoding, path in zip(ENCODINGS, files, strict=True):
                found = parity.compare(reference, _run_head(path, data, taps), [x.label for x in plan.labels])
                if found["ok"] or encoding is ENCODINGS[-1]:
                    head = path.read_bytes()
                    return head, encoding, {"head": Artifact.of("head", head).sha256, **found}
        raise AssertionError

    def _manifest(
        self,
        plan: Plan,
        trunk: ReadyTrunk,
        head: bytes,
        taps: tuple[str, ...],
        data: Data,
        extraction: Extraction,
        validation: CrossValidation,
    ) -> ReleaseManifest:
        strip = golden.strip()
        statistics, limits = know(data, extraction)
        head_artifact, golden_artifact = Artifact.of("head", head), Artifact.of("golden", strip)
        novelty_artifact = Artifact.of("novelty", statistics)
        for content in (head, strip, statistics):
            self._artifacts.put(content)
        calibration = calibrate(validation.nested, data.labels, data.groups)
        degraded = self._degraded(plan.samples, trunk)
        groups = len(set(data.groups.tolist()))
        manifest = ReleaseManifest(
            disease=plan.disease,
            model=plan.dataset,
            version=plan.version,
            created=plan.now.isoformat(timespec="seconds"),
            least_node_version=LEAST_NODE_VERSION,
            input=trunk.trunk.spec,
            artifacts=(
                described("trunk", trunk.trunk.sha256, self._artifacts),
                head_artifact,
                novelty_artifact,
                golden_artifact,
            ),
            stages=(Stage(trunk.trunk.sha256), Stage(head_artifact.sha256, taps)),
            labels=tuple(plan.labels),
            calibration=calibration,
            quality=quality_limits(extraction.quality, degraded),
            novelty=NoveltyLimits(
                novelty_artifact.sha256,
                novelty.TAPS,
                round(limits.familiar, 6),
                round(limits.foreign, 6),
                round(limits.layout, 6),
            ),
            golden=Golden(golden_artifact.sha256, ((0.0,) * len(plan.labels),)),
            backbone=trunk.backbone,
            metrics=figures(data, validation, calibration, [x.label for x in plan.labels]),
            data={"dataset": plan.dataset, "images": len(plan.samples), "groups": groups},
            methods={
                **calibration_methods(len(plan.samples), groups),
                **novelty.methods(len(data.source)),
                "quality": quality_method(len(degraded)),
            },
        )
        expected = golden_scores(manifest, strip, Pipelines(self._artifacts.path))
        rows = tuple(tuple(round(float(x), 6) for x in row) for row in expected)
        return replace(manifest, golden=Golden(golden_artifact.sha256, rows))


@dataclass(frozen=True)
class Encoding:
    """How a head's weights are stored."""

    name: str
    bytes_per_weight: int


ENCODINGS = (Encoding("int8", 1), Encoding("float16", 2))


def check_samples(samples: list[Sample], repeats: int) -> None:
    """Refuse what cannot be trained and tested before the minutes that features take.

    Raises:
        CoordinatorError: ``train.too_few_images`` or ``train.too_few_groups``.
    """
    counts = Counter(s.label for s in samples)
    if not counts:  # all of its images still wait for a person's look
        raise CoordinatorError("train.too_few_images", label="…", count=0, least=LEAST_IMAGES)
    for label, count in sorted(counts.items()):
        if count < LEAST_IMAGES:
            raise CoordinatorError("train.too_few_images", label=label, count=count, least=LEAST_IMAGES)
    _, labels = np.unique([s.label for s in samples], return_inverse=True)
    folds.plans(labels, np.array([s.group for s in samples]), selection.OUTER_FOLDS, repeats)


@dataclass(frozen=True)
class Altered:
    """Features of altered views, float32 [views, channels] by tap, and the image that each is of."""

    taps: dict[str, NDArray[np.float32]]
    source: NDArray[np.int64]


def as_data(plan: Plan, extraction: Extraction, altered: Altered) -> Data:
    """Features with labels as indices of the sorted class names.

    Raises:
        CoordinatorError: ``train.bad_features`` where the trunk gave something that is no number.
    """
    for taps in (extraction.taps, altered.taps):
        bad = np.any([~np.isfinite(values).all(axis=1) for values in taps.values()], axis=0)
        if bad.any():
            raise CoordinatorError("train.bad_features", count=int(bad.sum()))
    names = [x.label for x in plan.labels]
    return Data(
        extraction.taps,
        np.array([names.index(s.label) for s in plan.samples], dtype=np.int64),
        np.array([s.group for s in plan.samples]),
        altered.taps,
        altered.source,
    )


def know(data: Data, extraction: Extraction) -> tuple[bytes, novelty.Limits]:
    """The novelty artifact of a data set, and its limits."""
    images = novelty.Views(np.concatenate([data.taps[t] for t in novelty.TAPS], axis=1), extraction.thumbnails)
    altered = np.concatenate([data.altered[t] for t in novelty.TAPS], axis=1)
    (fold,) = folds.plans(data.labels, data.groups, selection.OUTER_FOLDS, 1)
    return novelty.fit(images).to_bytes(), novelty.limits(images, altered, data.source, fold)


def within_budget(plan: Plan, data: Data) -> tuple[selection.TapSet, ...]:
    """The candidates whose head fits into the budget, counted at the larger encoding.

    Without a budget of the user's, heads stay below ``USUAL_BUDGET_KB``, which is a minute on a 9.6 kbit/s line; data with
    so many classes that none fits gets the smallest.
    """
    candidates = selection.CANDIDATES[plan.effort]
    size = {
        c: sum(data.taps[t].shape[1] for t in c.taps) * len(plan.labels) * ENCODINGS[-1].bytes_per_weight + 4096
        for c in candidates
    }
    least = min(size.values())
    budget_kb = plan.budget_kb or max(USUAL_BUDGET_KB, -(-least // 1000))
    fitting = tuple(c for c in candidates if size[c] <= budget_kb * 1000)
    if not fitting:
        raise CoordinatorError("train.over_budget", budget=budget_kb, least=-(-least // 1000))
    return fitting


def _run_head(path: Path, data: Data, taps: tuple[str, ...]) -> NDArray[np.float32]:
    runner = StageRunner(path)
    rows = [runner.run({t: data.taps[t][i : i + 1] for t in taps})[LOGITS][0] for i in range(len(data.labels))]
    return np.array(rows)


def _interval(data: Data, logits: NDArray[np.float32]) -> metrics.Interval:
    """Mean over the repeats; the interval is that of the whole, resampled by group."""
    intervals = [
        metrics.balanced_accuracy_interval(data.labels, run.argmax(axis=1), data.groups, logits.shape[2])
        for run in logits
    ]
    return metrics.Interval(*(float(np.mean([getattr(i, n) for i in intervals])) for n in ("value", "low", "high")))


def rungs(
    data: Data,
    validation: CrossValidation,
    candidates: tuple[selection.TapSet, ...],
    bytes_per_weight: int,
    overhead: int,
) -> list[dict[str, Any]]:
    """Each candidate's cross-validated figure and what its head costs a node."""
    rows = []
    for candidate in candidates:
        interval = _interval(data, validation.candidates[candidate.name]).document()
        logits = validation.candidates[candidate.name]
        weights = sum(data.taps[t].shape[1] for t in candidate.taps) * logits.shape[2]
        rows.append(
            {
                "name": candidate.name,
                "taps": list(candidate.taps),
                "balanced_accuracy": interval["value"],
                "low": interval["low"],
                "high": interval["high"],
                "bytes": weights * bytes_per_weight + overhead,
            }
        )
    return rows


def figures(data: Data, validation: CrossValidation, calibration: Calibration, names: list[str]) -> dict[str, Any]:
    """Nested cross-validated figures for manifest and card."""
    probabilities = [scores(run, calibration) for run in validation.nested]
    aucs = [metrics.auc_macro(data.labels, p) for p in probabilities]
    errors = [metrics.expected_calibration_error(data.labels, p) for p in probabilities]
    tables = [metrics.confusion(data.labels, run.argmax(axis=1), len(names)) for run in validation.nested]
    per_class = metrics.per_class(np.sum(tables, axis=0), names)
    for row in per_class.values():
        row["n"] = int(row["n"] or 0) // len(tables)  # each repeat counts every image once
    return {
        "method": f"nested cross-validation by group, {len(validation.nested)} repeat(s)",
        "n": len(data.labels),
        "groups": len(set(data.groups.tolist())),
        "balanced_accuracy": _interval(data, validation.nested).document(),
        "auc_macro": round(float(np.mean([a for a in aucs if a is not None])), 4),
        "ece": round(float(np.mean(errors)), 4),
        "per_class": per_class,
    }
