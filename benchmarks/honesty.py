"""Does the model know what it does not know? Coverage, calibration, rejection, quality gate and shifts, by group.

Everything runs through the functions that training and nodes use, on the pretrained trunk. The head's taps and strength are
fixed to what quick training chooses on both sets, so that twenty splits stay affordable. Photographs are crops of the
sample pictures that scikit-learn and matplotlib bring. Skips with a sentence where the research data is absent.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from alterations import DEGRADED, NEAR, SITE
from figures import HOME, data_folder, figure, trunk
from PIL import Image
from sklearn.metrics import roc_auc_score

from coordinator.training import folds, metrics, novelty, selection, views
from coordinator.training.calibration import calibrate, quality_limits
from coordinator.training.features import Trunk
from protocols.imaging import InputSpec, Quality, measure_quality, open_image, prepare, to_rgb
from protocols.manifest import Label, NoveltyLimits, QualityLimits, ReleaseManifest
from protocols.novelty import NoveltyStatistics, Residuals, thumbnail
from protocols.pipeline import StageRunner
from protocols.recognition import Answer, answer
from tests.support.manifests import example

SETS = ("malaria_cells", "cxr_pneumonia")
OTHERS = ("brain_mri", "bccd_cells")
TAPS = ("mixed4_avg", "mixed4_max", "mixed7_avg", "mixed7_max")
CHOICE = selection.Choice(selection.TapSet("quick", TAPS), 1e-3)
SPLITS, SHIFT_SPLITS, SHIFT_IMAGES, DEGRADED_IMAGES = 20, 3, 400, 150


@dataclass(frozen=True)
class Measured:
    """Pictures as the trunk sees them."""

    taps: dict[str, np.ndarray]
    thumbnails: np.ndarray
    quality: list[Quality]

    def rows(self, chosen: np.ndarray) -> Measured:
        taps = {name: values[chosen] for name, values in self.taps.items()}
        return Measured(taps, self.thumbnails[chosen], [self.quality[i] for i in np.flatnonzero(_mask(chosen, self))])


@dataclass(frozen=True)
class Set:
    files: list[Path]
    labels: np.ndarray
    groups: np.ndarray


def _mask(chosen: np.ndarray, measured: Measured) -> np.ndarray:
    mask = np.zeros(len(measured.quality), dtype=bool)
    mask[chosen] = True
    return mask


def read_set(folder: Path) -> Set:
    with (folder / "groups.csv").open(encoding="utf-8") as file:
        rows = sorted((row["file"], row["group"]) for row in csv.DictReader(file))
    names = sorted({name.split("/")[0] for name, _ in rows})
    return Set(
        [folder / name for name, _ in rows],
        np.array([names.index(name.split("/")[0]) for name, _ in rows]),
        np.array([group for _, group in rows]),
    )


_runner: dict[Path, StageRunner] = {}


def _measure(task: tuple[Path, str, Trunk]) -> tuple[tuple[float, ...], np.ndarray, dict[str, np.ndarray]]:
    path, change, used = task
    spec = used.spec
    with open_image(path) as image:
        if change == "view":
            pixels = views.altered(image, spec, f"{hashlib.sha256(path.read_bytes()).hexdigest()}/1")
        elif change:
            pixels = prepare({**SITE, **NEAR, **DEGRADED}[change](to_rgb(image).copy()), spec)
        else:
            pixels = prepare(image, spec)
    if used.path not in _runner:
        _runner[used.path] = StageRunner(used.path)
    outputs = _runner[used.path].run({next(iter(_runner[used.path].inputs)): pixels})
    quality = measure_quality(pixels, spec)
    return tuple(vars(quality).values()), thumbnail(pixels, spec), {t: outputs[t][0] for t in TAPS}


class Lab:
    """Measures pictures once and keeps the result beside the benchmark's other files."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._trunk = trunk().trunk
        self.spec: InputSpec = self._trunk.spec

    def measure(self, name: str, files: list[Path], change: str = "") -> Measured:
        key = hashlib.sha256(f"{self._trunk.sha256} {change} {[f.name for f in files]}".encode()).hexdigest()[:16]
        path = HOME / "honesty" / f"{name}-{change.replace(' ', '_') or 'plain'}-{key}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            sys.stderr.write(f"{name}: {len(files)} pictures, {change or 'as they are'}\n")
            rows = list(self._pool.map(_measure, [(f, change, self._trunk) for f in files], chunksize=8))
            stacked = {t: np.stack([r[2][t] for r in rows]) for t in TAPS}
            np.savez(path, quality=[r[0] for r in rows], thumbnails=np.stack([r[1] for r in rows]), **stacked)
        with np.load(path) as stored:
            quality = [Quality(*(float(x) for x in row)) for row in stored["quality"]]
            return Measured({t: stored[t] for t in TAPS}, stored["thumbnails"], quality)

    def degraded(self, files: list[Path]) -> list[dict[str, Quality]]:
        return list(self._pool.map(views.degraded_quality, [(f, self.spec) for f in files], chunksize=8))


@dataclass(frozen=True)
class Model:
    """A head with everything that its manifest would say, fitted on some groups."""

    data: selection.Data
    head: object
    manifest: ReleaseManifest
    statistics: NoveltyStatistics

    def answers(self, measured: Measured) -> list[Answer]:
        logits = self.head.logits(np.concatenate([measured.taps[t] for t in TAPS], axis=1))
        residuals = self.residuals(measured)
        return [answer(self.manifest, row, q, r) for row, q, r in zip(logits, measured.quality, residuals, strict=True)]

    def residuals(self, measured: Measured) -> list[Residuals]:
        appearance = self.statistics.appearance.residual(_pooled(measured.taps))
        layout = self.statistics.layout.residual(measured.thumbnails)
        return [Residuals(float(a), float(b)) for a, b in zip(appearance, layout, strict=True)]


def _pooled(taps: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([taps[t] for t in novelty.TAPS], axis=1)


def fitted(
    plain: Measured, view: Measured, labels: np.ndarray, groups: np.ndarray, copies: list[dict[str, Quality]]
) -> Model:
    """What training does, without the choice of taps."""
    data = selection.Data(plain.taps, labels, groups, view.taps, np.arange(len(labels)))
    (fold,) = folds.plans(labels, groups, selection.OUTER_FOLDS, 1)
    classes = int(labels.max()) + 1
    logits = np.zeros((1, len(labels), classes), np.float32)
    for number in np.unique(fold):
        test = fold == number
        logits[0, test] = selection.fit(data, CHOICE, ~test).logits(data.features(CHOICE.tap_set, test))
    images = novelty.Views(_pooled(plain.taps), plain.thumbnails)
    statistics = novelty.fit(images)
    limits = novelty.limits(images, _pooled(view.taps), data.source, fold)
    manifest = replace(
        example(),
        labels=tuple(Label(str(c), None, "other") for c in range(classes)),
        calibration=calibrate(logits, labels, groups),
        quality=quality_limits(plain.quality, copies) if copies else QualityLimits(0, 0, 1, 0, 1),
        novelty=NoveltyLimits("0" * 64, novelty.TAPS, limits.familiar, limits.foreign, limits.layout),
    )
    return Model(data, selection.fit(data, CHOICE), manifest, statistics)


def splits(groups: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Test masks of 30 % of the groups."""
    unique = np.unique(groups)
    for seed in range(count):
        chosen = np.random.default_rng(seed).permutation(unique)[: round(0.3 * len(unique))]
        yield np.isin(groups, chosen)


def coverage_rows(name: str, found: Set, plain: Measured, view: Measured) -> None:
    covered, errors = [], []
    for test in splits(found.groups, SPLITS):
        model = fitted(plain.rows(~test), view.rows(~test), found.labels[~test], found.groups[~test], [])
        answers = model.answers(plain.rows(test))
        truth = found.labels[test]
        covered.append(np.mean([t in a.in_set for t, a in zip(truth, answers, strict=True)]))
        errors.append(metrics.expected_calibration_error(truth, np.stack([a.scores for a in answers])))
    mean = float(np.mean(covered))
    _row(f"{name}: coverage, mean of {SPLITS} splits", f"{mean:.3f}", "0.90 ± 0.02", abs(mean - 0.9) <= 0.02)
    _row(f"{name}: coverage, worst split", f"{min(covered):.3f}", "≥ 0.85", min(covered) >= 0.85)
    _row(f"{name}: calibration error, mean", f"{np.mean(errors):.3f}", "≤ 0.05", np.mean(errors) <= 0.05)


def rejection_rows(name: str, found: Set, plain: Measured, view: Measured, others: dict[str, Measured]) -> None:
    """Other kinds of picture against unseen groups; the rival is the head's own doubt (1 - top score)."""
    refused: list[float] = []
    areas: dict[str, list[tuple[float, float, float]]] = {other: [] for other in others}
    for test in splits(found.groups, SHIFT_SPLITS):
        model = fitted(plain.rows(~test), view.rows(~test), found.labels[~test], found.groups[~test], [])
        known = model.answers(plain.rows(test))
        refused.append(np.mean(["unfamiliar" in a.reasons or "another_kind" in a.reasons for a in known]))
        for other, measured in others.items():
            strange = model.answers(measured)
            truth = [0] * len(known) + [1] * len(strange)
            both = [*known, *strange]
            areas[other].append(
                (
                    roc_auc_score(truth, [a.novelty for a in both]),
                    roc_auc_score(truth, [1 - a.scores.max() for a in both]),
                    np.mean([a.outcome in ("not_this_kind_of_image", "poor_quality") for a in strange]),
                )
            )
    _row(
        f"{name}: unseen groups' pictures called unfamiliar",
        f"{np.mean(refused):.3f}",
        "≤ 0.05",
        np.mean(refused) <= 0.05,
    )
    for other, values in areas.items():
        ours, rival, out = np.mean(values, axis=0)
        least = 0.95 if other in NEAR or (other, name) == ("bccd_cells", "malaria_cells") else 0.995
        text = f"{ours:.3f}, refused {out:.2f}"
        figure(f"{name}: AUROC against {other}", text, f"{rival:.3f}", ours / rival, f"≥ {least}", ours >= least)


def quality_rows(name: str, found: Set, plain: Measured, view: Measured, lab: Lab) -> None:
    test = next(splits(found.groups, 1))
    rows = np.flatnonzero(~test)
    copies = lab.degraded([found.files[i] for i in rows[:: -(-len(rows) // 200)]])
    model = fitted(plain.rows(~test), view.rows(~test), found.labels[~test], found.groups[~test], copies)
    faulty = [a.outcome == "poor_quality" for a in model.answers(plain.rows(test))]
    _row(f"{name}: unseen originals called poor", f"{np.mean(faulty):.3f}", "≤ 0.03", np.mean(faulty) <= 0.03)
    chosen = np.flatnonzero(test)[:DEGRADED_IMAGES]
    caught = {}
    for change in DEGRADED:
        answers = model.answers(lab.measure(name, [found.files[i] for i in chosen], change))
        caught[change] = np.mean([a.outcome == "poor_quality" for a in answers])
    worst = min(caught, key=lambda change: caught[change])
    _row(
        f"{name}: heavily degraded copies caught",
        f"{np.mean(list(caught.values())):.3f}",
        "≥ 0.95",
        np.mean(list(caught.values())) >= 0.95,
    )
    _row(f"{name}: worst degradation ({worst})", f"{caught[worst]:.3f}", "-", True)


def site_rows(name: str, found: Set, plain: Measured, view: Measured, lab: Lab) -> None:
    """Ranking and coverage under another site's ways; where they suffer, the answer must be a doubt."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(found.labels))[:SHIFT_IMAGES])
    altered = {c: lab.measure(name, [found.files[i] for i in chosen], c) for c in SITE}
    results: dict[str, list[tuple[float, float, float]]] = {c: [] for c in (*SITE, "classes 1:4", "classes 4:1")}
    for test in splits(found.groups, SHIFT_SPLITS):
        rows = np.flatnonzero(~test)
        copies = lab.degraded([found.files[i] for i in rows[:: -(-len(rows) // 100)]])
        model = fitted(plain.rows(~test), view.rows(~test), found.labels[~test], found.groups[~test], copies)
        inside = test[chosen]
        before = model.answers(plain.rows(chosen[inside]))
        truth = found.labels[chosen[inside]]
        for change, measured in altered.items():
            results[change].append(_shift(truth, before, truth, model.answers(measured.rows(inside))))
        whole, every = model.answers(plain.rows(test)), found.labels[test]
        for rare, change in ((1, "classes 1:4"), (0, "classes 4:1")):
            keep = (every != rare) | (np.cumsum(every == rare) % 4 == 1)
            kept = [a for a, k in zip(whole, keep, strict=True) if k]
            results[change].append(_shift(every, whole, every[keep], kept))
    for change, values in results.items():
        fall, covered, doubt = np.mean(values, axis=0)
        ok = (fall <= 0.02 and covered >= 0.85) or doubt >= 0.9
        text = f"fall {fall:+.3f}, coverage {covered:.2f}, in doubt {doubt:.2f}"
        _row(f"{name}: {change}", text, "fall ≤ 0.02, coverage ≥ 0.85, or in doubt", ok)


def _shift(
    truth: np.ndarray, before: list[Answer], after_truth: np.ndarray, after: list[Answer]
) -> tuple[float, float, float]:
    def area(labels: np.ndarray, answers: list[Answer]) -> float:
        return float(roc_auc_score(labels, [a.scores[1] for a in answers]))

    covered = np.mean([t in a.in_set for t, a in zip(after_truth, after, strict=True)])
    doubt = np.mean([a.outcome != "recognised" for a in after])
    return area(truth, before) - area(after_truth, after), float(covered), float(doubt)


def photographs() -> list[Path]:
    """Crops of freely bundled photographs, drawn once."""
    import matplotlib
    import sklearn

    folder = HOME / "honesty" / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    samples = Path(sklearn.__file__).parent / "datasets" / "images"
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    chance = np.random.default_rng(3)
    for source in (samples / "china.jpg", samples / "flower.jpg", hopper):
        image = Image.open(source).convert("RGB")
        for number in range(60):
            side = int(min(image.size) * chance.uniform(0.25, 0.9))
            left, top = (int(chance.uniform(0, extent - side)) for extent in image.size)
            target = folder / f"{source.stem}-{number:02}.png"
            if not target.exists():
                image.crop((left, top, left + side, top + side)).save(target)
    return sorted(folder.glob("*.png"))


def _row(name: str, ours: str, target: str, ok: bool) -> None:
    figure(name, ours, "—", None, target, ok)


def main() -> int:
    folders = {name: data_folder(name) for name in (*SETS, *OTHERS)}
    if absent := [name for name, folder in folders.items() if folder is None]:
        sys.stderr.write(f"Skipped: the research data {', '.join(absent)} is not here; set MEDMESH_DATA.\n")
        return 0
    with ProcessPoolExecutor() as pool:
        lab = Lab(pool)
        found = {name: read_set(folder) for name, folder in folders.items() if folder is not None}
        plain = {name: lab.measure(name, found[name].files) for name in found}
        photos = lab.measure("photographs", photographs())
        for name in SETS:
            view = lab.measure(name, found[name].files, "view")
            coverage_rows(name, found[name], plain[name], view)
            near = {c: lab.measure(name, found[name].files[::8], c) for c in NEAR}
            foreign = {**{o: plain[o] for o in found if o != name}, "photographs": photos, **near}
            rejection_rows(name, found[name], plain[name], view, foreign)
            quality_rows(name, found[name], plain[name], view, lab)
            site_rows(name, found[name], plain[name], view, lab)
    return 0


if __name__ == "__main__":
    sys.exit(main())
