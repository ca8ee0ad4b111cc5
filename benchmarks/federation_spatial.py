"""A spatial head refined by skewed hospitals against its start, pooled training and each hospital alone, on unseen patients.

A third of the patients is for the test, a tenth for the start, the rest are dealt to sites by a Dirichlet distribution over the
classes. Everything goes through the node's ClientApp, its TensorFlow adapter, Flower's strategies and the guard, over the
in-memory grid; maps come from the pretrained trunk. The head is the lightest rung of ``train --effort standard``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import data_folder, figure, trunk
from honesty import read_set

from coordinator.federation.refinement import refine
from coordinator.federation.rounds import Plan
from coordinator.federation.runner import SPATIAL_PROXIMITY
from coordinator.federation.spatial import coordinates, moments
from coordinator.training import metrics
from coordinator.training.ladder.spatial import CONFIGS
from coordinator.training.spatial import folding
from coordinator.training.spatial.child import order
from coordinator.training.spatial.job import class_weights
from edge_node.federation.images import LabelledFeatures, held_out
from edge_node.federation.spatial import HeldMaps, Record
from protocols.federation.exchange import Exchange
from protocols.federation.head import Head, Standard
from protocols.federation.spatial import head_of
from protocols.federation.task import Subject
from protocols.imaging import open_image, prepare
from protocols.pipeline import StageRunner
from protocols.spatial.maps import quantised
from tests.support.federation import FixedSite, Member, MemoryGrid, app_of

SET, MOST_IMAGES = "malaria_cells", 560
SITES, ROUNDS, ALPHA, SEEDS = 4, 6, 0.5, (0, 1, 2)
CONFIG = CONFIGS["standard"][0]
LAYER = CONFIG.maps[0]


@dataclass(frozen=True)
class Images:
    records: list[Record]
    labels: np.ndarray
    groups: np.ndarray

    def held(self, rows: np.ndarray) -> HeldMaps:
        return HeldMaps(CONFIG.plain, [self.records[i] for i in np.flatnonzero(rows)])


class Reader:
    """Some images' maps, as the coordinator's training reads them."""

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        self._records = [images.records[i] for i in np.flatnonzero(rows)]

    def read(self, layer: str, images: np.ndarray, views: Any = 0) -> tuple[np.ndarray, np.ndarray]:
        levels, scales = zip(*(self._records[i][layer] for i in images), strict=True)
        return np.stack(levels), np.stack(scales)


def seen() -> Images | None:
    """Whole patients drawn by chance, with their maps; None without the data set."""
    folder = data_folder(SET)
    if folder is None:
        return None
    found, ready = read_set(folder), trunk().trunk
    groups = np.unique(found.groups)
    np.random.default_rng(0).shuffle(groups)
    rows = np.concatenate([np.flatnonzero(found.groups == g) for g in groups])[:MOST_IMAGES]
    runner, records = StageRunner(ready.path), []
    for row in rows:
        with open_image(found.files[row]) as image:
            pixels = prepare(image, ready.spec)
        outputs = runner.run({next(iter(runner.inputs)): pixels})
        records.append({LAYER: quantised(outputs[f"{LAYER}_map"][0])})
    return Images(records, found.labels[rows], found.groups[rows])


def deal(images: Images, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Test, start and site of each image; -1: none."""
    chance = np.random.default_rng(seed)
    groups = np.unique(images.groups)
    chance.shuffle(groups)
    usual = {g: int(np.bincount(images.labels[images.groups == g]).argmax()) for g in groups}
    tested = len(groups) // 3
    started = tested + max(6, len(groups) // 10)
    place: dict[str, int] = {}
    for label in np.unique(images.labels):
        shares = chance.dirichlet([ALPHA] * SITES)
        place |= {g: int(chance.choice(SITES, p=shares)) for g in groups[started:] if usual[g] == label}
    test, start = (np.isin(images.groups, groups[a:b]) for a, b in ((0, tested), (tested, started)))
    return test, start, np.array([place.get(g, -1) for g in images.groups])


def trained(images: Images, rows: np.ndarray) -> tuple[Head, Standard]:
    """A head as training makes it, in the coordinates of its images."""
    from coordinator.training.spatial import network

    reader, labels = Reader(images, rows), images.labels[rows]
    count, classes = len(labels), int(images.labels.max()) + 1
    known = network.moments(reader, CONFIG.maps, count, np.ones((1, count), bool))
    first = network.initial(CONFIG, images.records[0][LAYER][0].shape[2], classes, [(CONFIG.seed,)])
    heads = network.Heads(CONFIG, first, known, CONFIG.epochs * -(-count // CONFIG.batch))
    smooth = CONFIG.label_smoothing
    targets = (np.eye(classes)[labels] * (1 - smooth) + smooth / classes).astype(np.float32)
    weights = (class_weights(labels, CONFIG.class_power) / CONFIG.batch)[np.newaxis].astype(np.float32)
    for epoch in range(CONFIG.epochs):
        shown, _ = order(np.arange(count), 0, epoch, CONFIG)
        for step, begin in enumerate(range(0, count, CONFIG.batch)):
            some = shown[begin : begin + CONFIG.batch]
            heads.step({LAYER: reader.read(LAYER, some)}, targets[some], weights[:, some], epoch * 1_000_000 + step)
    plain = folding.folded(CONFIG, heads.weights(), known)
    standard = coordinates(CONFIG, known)
    return head_of(CONFIG, folding.unfolded(CONFIG, plain, moments(CONFIG, standard))), standard


def score(images: Images, test: np.ndarray, head: Head, standard: Standard) -> float:
    answers = images.held(test).logits(head, standard).argmax(axis=1)
    return metrics.balanced_accuracy(metrics.confusion(images.labels[test], answers, head.shape.labels))


def refined(
    images: Images, seed: int, exchange: Exchange = "float16", rounds: int = ROUNDS
) -> tuple[float, float, float, float]:
    """Balanced accuracy of the start, the federated head, pooled training and the best site alone."""
    test, start, site = deal(images, seed)
    head, standard = trained(images, start)
    names = tuple(f"class {c}" for c in np.unique(images.labels))
    members = {}
    for number in range(SITES):
        rows = site == number
        held = LabelledFeatures(images.held(rows), names, images.labels[rows], held_out(images.groups[rows]))
        members[2 + number] = Member(app_of(FixedSite(held if rows.any() else None)))
    plan = Plan(
        Subject.of_maps("benchmark", "a" * 64, CONFIG.plain),
        names,
        standard,
        rounds,
        proximity=SPATIAL_PROXIMITY,
        anchor=0.0,
        exchange=exchange,
        wait_s=0.0,
    )
    alone: list[Head] = []
    with tempfile.TemporaryDirectory() as folder:
        from coordinator.federation.comparison import Comparison

        grid = MemoryGrid(members)
        state, _ = refine(grid, plan, head, Path(folder), lambda n: f"site {n}")
        alone += Comparison(grid, plan, lambda n: f"site {n}").scores(state)[1].values()
    best = max((score(images, test, h, standard) for h in alone), default=0.0)
    ours, begun = (score(images, test, h, standard) for h in (state.head, head))
    pooled = score(images, test, *trained(images, start | (site >= 0)))
    sizes = [np.bincount(images.labels[site == k], minlength=len(names)).tolist() for k in range(SITES)]
    sys.stderr.write(
        f"{SET} seed {seed}: sites {sizes}, test {test.sum()} images of {len(np.unique(images.groups[test]))} patients: "
        f"start {begun:.3f}, federated {ours:.3f}, pooled {pooled:.3f}, best site alone {best:.3f}\n"
    )
    return begun, ours, pooled, best


def main() -> int:
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    images = seen()
    if images is None:
        sys.stderr.write(f"no {SET}: nothing to measure\n")
        return 0
    start, ours, pooled, best = np.mean([refined(images, seed) for seed in SEEDS], axis=0)
    rounds = f"mean of seeds {', '.join(map(str, SEEDS))}, {ROUNDS} rounds"
    for name, rival in (("its start", start), ("pooled training", pooled), ("the best single site", best)):
        figure(
            f"federated spatial head against {name}", f"{ours:.3f}", f"{rival:.3f}", None, f"reported, {rounds}", True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
