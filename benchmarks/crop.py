"""Does the suggested crop find the subject, and what does the kept copy cost? On unseen groups, with the real functions.

Pictures of each set are pasted at a random place, over 5 to 40 % of the area, into enlarged pictures of the other sets; then
the model sees the true box, the suggestion, and the whole picture. Skips with a sentence where the research data is absent.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from figures import data_folder, figure, trunk
from honesty import TAPS, Lab, Measured, Model, Set, fitted, read_set, splits
from PIL import Image

from coordinator.training.metrics import balanced_accuracy, confusion
from edge_node.capture.keep import MAX_BYTES, kept_copy
from edge_node.capture.service import CropSuggestions
from protocols.imaging import Box, open_image, prepare, to_rgb
from protocols.manifest import ReleaseManifest, Stage
from protocols.pipeline import Pipelines

PICTURES = {"malaria_cells": 150, "cxr_pneumonia": 150, "brain_mri": 100, "bccd_cells": 100}
KEPT = ("malaria_cells", "cxr_pneumonia")
BACKGROUND_PX = (1200, 600)  # width; least height
AREA = (0.05, 0.40)
LARGE, LARGE_PX = 30, (4000, 3000)
TARGET, FAST_MS = 0.90, 500


@dataclass(frozen=True)
class Paste:
    """A picture within another. ``box`` in pixels of ``file``; ``row`` of the set."""

    file: Path
    box: Box
    row: int


class Release:
    """A fitted model as a node has it, but for the head, which is still plain weights."""

    def __init__(self, model: Model, folder: Path) -> None:
        ready = trunk().trunk
        data = model.statistics.to_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        (folder / sha256).write_bytes(data)
        self._files = {ready.sha256: ready.path, sha256: folder / sha256}
        self._head = model.head
        limits = model.manifest.novelty
        assert limits is not None
        self.manifest: ReleaseManifest = replace(
            model.manifest, input=ready.spec, stages=(Stage(ready.sha256),), novelty=replace(limits, sha256=sha256)
        )
        self._pipelines = Pipelines(self._files.__getitem__)
        self.suggestions = CropSuggestions(self._pipelines, self._files.__getitem__)

    def label(self, source: Path | bytes, crop: Box | None) -> int:
        with open_image(source) as image:
            pixels = prepare(image, self.manifest.input, crop)
        taps = self._pipelines.first_stage(self.manifest, pixels, {})
        return int(self._head.logits(np.concatenate([taps[t] for t in TAPS], axis=1)).argmax())


def pastes(name: str, sets: dict[str, Set], rows: np.ndarray, folder: Path) -> Iterator[Paste]:
    chance = np.random.default_rng(sorted(sets).index(name))
    others = [other for other in sets if other != name]
    for row in rows:
        files = sets[others[chance.integers(len(others))]].files
        ground, subject = _rgb(files[chance.integers(len(files))]), _rgb(sets[name].files[row])
        width, least = BACKGROUND_PX
        ground = ground.resize(
            (width, max(round(ground.height * width / ground.width), least)), Image.Resampling.BICUBIC
        )
        area, aspect = chance.uniform(*AREA) * ground.width * ground.height, subject.width / subject.height
        wide, high = min(round((area * aspect) ** 0.5), ground.width), min(round((area / aspect) ** 0.5), ground.height)
        left, top = (int(chance.integers(room + 1)) for room in (ground.width - wide, ground.height - high))
        ground.paste(subject.resize((wide, high), Image.Resampling.BICUBIC), (left, top))
        ground.save(folder / "pasted.jpg", quality=95)
        yield Paste(folder / "pasted.jpg", Box(left, top, wide, high), int(row))


def _rgb(path: Path) -> Image.Image:
    with open_image(path) as image:
        return to_rgb(image).copy()


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across = max(0, min(a.x + a.width, b.x + b.width) - max(a.x, b.x))
    down = max(0, min(a.y + a.height, b.y + b.height) - max(a.y, b.y))
    return across * down / (a.width * a.height + b.width * b.height - across * down)


def _accuracy(truth: np.ndarray, answers: list[int]) -> float:
    return balanced_accuracy(confusion(truth, np.array(answers), int(truth.max()) + 1))


def crop_rows(name: str, sets: dict[str, Set], release: Release, rows: np.ndarray, folder: Path) -> None:
    true, suggested, whole, overlaps, wall_ms, cpu_ms = [], [], [], [], [], []
    for paste in pastes(name, sets, rows, folder):
        wall, cpu = time.perf_counter(), time.process_time()
        box = asyncio.run(release.suggestions.suggest(paste.file, release.manifest))
        wall_ms.append((time.perf_counter() - wall) * 1000)
        cpu_ms.append((time.process_time() - cpu) * 1000)
        true.append(release.label(paste.file, paste.box))
        suggested.append(release.label(paste.file, box))
        whole.append(release.label(paste.file, None))
        overlaps.append(0.0 if box is None else overlap(box, paste.box))
    truth = sets[name].labels[rows]
    best, ours, rival = (_accuracy(truth, answers) for answers in (true, suggested, whole))
    ratio, target = ours / best, f"≥ {TARGET} of the true box"
    figure(
        f"{name}: accuracy, suggested crop against true box",
        f"{ours:.3f}",
        f"{best:.3f}",
        ratio,
        target,
        ratio >= TARGET,
    )
    figure(
        f"{name}: accuracy, suggested crop against whole",
        f"{ours:.3f}",
        f"{rival:.3f}",
        ours / rival,
        "> 1",
        ours > rival,
    )
    found = np.mean(np.array(overlaps) > 0.5)
    figure(
        f"{name}: overlap with the true box, mean",
        f"{np.mean(overlaps):.3f}",
        f"{found:.2f} above 0.5",
        None,
        "-",
        True,
    )
    cpu, wall = np.median(cpu_ms), np.median(wall_ms)
    text = f"{cpu:.0f} CPU ms, {wall:.0f} ms elapsed"
    figure(f"{name}: a suggestion, median", text, "—", None, f"≤ {FAST_MS} CPU ms", cpu <= FAST_MS)


def alone_row(name: str, found: Set, release: Release, rows: np.ndarray) -> None:
    """Pictures that are nothing but the subject must be left whole."""
    boxes = [asyncio.run(release.suggestions.suggest(found.files[row], release.manifest)) for row in rows[::3]]
    share = np.mean([box is None for box in boxes])
    figure(f"{name}: unseen originals left whole", f"{share:.3f}", "—", None, "≥ 0.95", share >= 0.95)


def kept_rows(name: str, found: Set, release: Release, rows: np.ndarray) -> None:
    truth = found.labels[rows]
    originals, copies, sizes = [], [], []
    for row in rows:
        with open_image(found.files[row]) as image:
            data = kept_copy(image, release.manifest.input).data
        originals.append(release.label(found.files[row], None))
        copies.append(release.label(data, None))
        sizes.append(len(data))
    before, after = _accuracy(truth, originals), _accuracy(truth, copies)
    ok = before - after <= 0.01 and max(sizes) <= MAX_BYTES
    text = f"{after:.3f}, {np.mean(sizes) / 1000:.0f} kB, most {max(sizes) / 1000:.0f}"
    figure(f"{name}: accuracy on kept copies", text, f"{before:.3f}", after / before, "fall ≤ 0.01, ≤ 150 kB", ok)
    _large_row(name, found, release, rows[:LARGE])


def _large_row(name: str, found: Set, release: Release, rows: np.ndarray) -> None:
    """The same from a phone's 12 megapixels with grain."""
    same, sizes, seconds = [], [], []
    for row in rows:
        large = _enlarged(found.files[row], int(row))
        start = time.process_time()
        with open_image(large) as image:
            data = kept_copy(image, release.manifest.input).data
        seconds.append(time.process_time() - start)
        same.append(release.label(large, None) == release.label(data, None))
        sizes.append(len(data))
    text = f"{np.mean(same):.3f}, {np.mean(sizes) / 1000:.0f} kB, most {max(sizes) / 1000:.0f}, {np.mean(seconds):.2f} CPU s"
    ok = np.mean(same) >= 0.95 and max(sizes) <= MAX_BYTES
    figure(f"{name}: same label from copies of 12 MP", text, "the 12 MP", None, "≥ 0.95, ≤ 150 kB", ok)


def _enlarged(path: Path, seed: int) -> bytes:
    large = np.asarray(_rgb(path).resize(LARGE_PX, Image.Resampling.BICUBIC), dtype=np.int16)
    grain = np.random.default_rng(seed).integers(-6, 7, (*large.shape[:2], 1), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _model(found: Set, plain: Measured, view: Measured, test: np.ndarray) -> Model:
    return fitted(plain.rows(~test), view.rows(~test), found.labels[~test], found.groups[~test], [])


def main() -> int:
    folders = {name: data_folder(name) for name in PICTURES}
    if absent := [name for name, folder in folders.items() if folder is None]:
        sys.stderr.write(f"Skipped: the research data {', '.join(absent)} is not here; set MEDMESH_DATA.\n")
        return 0
    sets = {name: read_set(folder) for name, folder in folders.items() if folder is not None}
    with ProcessPoolExecutor(2) as pool, tempfile.TemporaryDirectory() as scratch:
        lab = Lab(pool)
        for name, found in sets.items():
            test = next(splits(found.groups, 1))
            plain, view = lab.measure(name, found.files), lab.measure(name, found.files, "view")
            release = Release(_model(found, plain, view, test), Path(scratch))
            rows = np.random.default_rng(0).permutation(np.flatnonzero(test))[: PICTURES[name]]
            crop_rows(name, sets, release, rows, Path(scratch))
            alone_row(name, found, release, rows)
            if name in KEPT:
                kept_rows(name, found, release, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
