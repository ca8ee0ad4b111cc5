"""A linear and a spatial head as one file that answers like both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.training import metrics
from coordinator.training.ladder import joined
from coordinator.training.ladder.joined import Scales
from coordinator.training.linear import LinearHead
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.training import fitted
from protocols.pipeline import StageRunner
from tests.support.spatial import made

LABELS = np.arange(40) % 2


def answers(lead: float, seed: int, repeats: int, scale: float) -> np.ndarray:
    truth = np.arange(400) % 2
    found = np.random.default_rng(seed).normal(0, 1, (repeats, 400, 2))
    found[:, np.arange(400), truth] += lead
    return (found * scale).astype(np.float32)


def test_heads_of_any_scale_count_alike_and_are_better_together() -> None:
    truth = np.arange(400) % 2
    linear, spatial = answers(1.3, 1, 3, 0.01), answers(1.3, 2, 1, 100)
    scales = Scales.of(truth, linear, spatial)
    both = scales.add(linear, spatial)
    assert both.shape == (1, 400, 2)

    def accuracy(logits: np.ndarray) -> float:
        return metrics.balanced_accuracy(metrics.confusion(truth, logits[0].argmax(axis=1), 2))

    assert accuracy(both) > max(accuracy(linear[:1]), accuracy(spatial)) + 0.02


@pytest.mark.slow
def test_one_file_answers_like_both(tmp_path: Path) -> None:
    maps = made(tmp_path / "maps", LABELS)
    groups = np.array([f"p{i // 2}" for i in range(40)])
    config = SpatialConfig(maps=("mixed4",), width=8, epochs=2)
    fit = fitted(maps, LABELS, groups, config, tmp_path / "work", lambda done, total, left: None)
    chance = np.random.default_rng(3)
    features = {"mixed4_avg": chance.normal(size=(40, 768)).astype(np.float32),
                "mixed10_max": chance.normal(size=(40, 64)).astype(np.float32)}  # fmt: skip
    head = LinearHead(chance.normal(0, 0.05, (832, 2)).astype(np.float32), np.array([0.3, -0.3], np.float32))
    scales = Scales(2.0, 0.5)
    found = joined.export(head, ("mixed4_avg", "mixed10_max"), features, fit, config, maps, scales, ["sick", "well"])
    assert found.inputs == ("mixed4_avg", "mixed10_max", "mixed4_map")
    assert found.parity["ok"] and found.parity["agreement"] == 1
    path = tmp_path / "head.tflite"
    path.write_bytes(found.data)
    assert set(StageRunner(path).inputs) == set(found.inputs)
    assert set(StageRunner(path).outputs) == {"logits", "evidence"}
    assert len(found.data) < 100_000
