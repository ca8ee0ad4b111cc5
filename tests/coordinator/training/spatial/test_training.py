"""Training with TensorFlow, in its child: it learns, goes on after kills, and its files answer like it and show where."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.training import folds
from coordinator.training.spatial import released, training
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import MapReader, Maps
from coordinator.training.spatial.training import SpatialFit
from protocols.explanation import EVIDENCE
from protocols.pipeline import LOGITS, StageRunner
from tests.support.spatial import SHAPE, made

LABELS = np.arange(96) % 3
GROUPS = np.array([f"patient {n // 4}" for n in range(96)])
CONFIG = SpatialConfig(
    width=16, depth=2, pooling=("average", "maximum", "attention"), members=2, epochs=4, batch=16, learning_rate=3e-3
)
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Maps:
    return made(tmp_path_factory.mktemp("maps"), LABELS)


@pytest.fixture(scope="module")
def fit(maps: Maps, tmp_path_factory: pytest.TempPathFactory) -> SpatialFit:
    return training.fitted(maps, LABELS, GROUPS, CONFIG, tmp_path_factory.mktemp("work"), lambda *_: None)


@pytest.fixture(scope="module", params=training.ENCODINGS)
def file(request: pytest.FixtureRequest, fit: SpatialFit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / f"{request.param}.tflite"
    path.write_bytes(fit.files[request.param])
    return path


@pytest.mark.slow
def test_a_killed_fit_ends_with_the_very_answers_of_an_undisturbed_one(
    maps: Maps, fit: SpatialFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(real(*arguments, **options))
        return children[-1]

    told: list[int] = []

    def kill(done: int, total: int, left_s: float) -> None:
        told.append(done)
        if done == 2:
            children[-1].kill()

    monkeypatch.setattr(training.subprocess, "Popen", popen)
    monkeypatch.setattr(training, "ENCODINGS", ())  # files follow from the weights, and cost as much as the training
    again = training.fitted(maps, LABELS, GROUPS, CONFIG, tmp_path, kill)
    assert len(children) == 2 and told == [1, 2, 3, 4], "never starts over"
    assert np.array_equal(again.logits, fit.logits)


def test_unseen_patients_are_told_apart(maps: Maps, tmp_path: Path) -> None:
    plans = folds.plans(LABELS, GROUPS, 2, 2)
    config = SpatialConfig(width=16, epochs=20, batch=16, learning_rate=3e-3, validation=0.2, patience=20)
    seen: list[tuple[int, int]] = []
    logits = training.cross_validated(
        maps, LABELS, GROUPS, plans, config, tmp_path, lambda done, total, left_s: seen.append((done, total))
    )
    assert logits.shape == (2, 96, 3) and seen[-1] == (40, 40)
    assert (logits.argmax(axis=2) == LABELS).mean() > 0.6, "a third by chance"
    seen.clear()
    again = training.cross_validated(maps, LABELS, GROUPS, plans, config, tmp_path, lambda *_: seen.append((0, 0)))
    assert np.array_equal(again, logits) and not seen, "what is done is not done again"


def test_files_answer_like_the_float_head(maps: Maps, fit: SpatialFit, file: Path) -> None:
    got = released.released_logits(file, fit.inputs, maps)
    assert (got.argmax(axis=1) == fit.logits.argmax(axis=1)).mean() > 0.97
    assert np.abs(got - fit.logits).max() < (0.2 if file.stem == "int8" else 0.02)


def test_evidence_adds_up_to_the_logits_but_for_the_bias(maps: Maps, fit: SpatialFit, file: Path) -> None:
    runner, reader = StageRunner(file), MapReader(maps)
    assert set(runner.inputs) == set(fit.inputs) == {"mixed4_map", "mixed7_map"}
    assert tuple(runner.outputs[EVIDENCE]) == (1, *SHAPE[:2], 3)
    rests = []
    for image in range(4):
        outputs = runner.run({n: reader.values(n.removesuffix("_map"), image) for n in fit.inputs})
        rests.append(outputs[LOGITS][0] - outputs[EVIDENCE].sum(axis=(0, 1, 2)))
    assert np.ptp(rests, axis=0) == pytest.approx(np.zeros(3), abs=1e-5)


def test_sizes_are_as_estimated_or_a_little_below(fit: SpatialFit) -> None:
    for encoding, size in (("int8", 1), ("float16", 2)):
        assert 0.8 < len(fit.files[encoding]) / CONFIG.estimated_bytes(3, size) <= 1.0
    assert fit.parameters == CONFIG.parameters(3)


def test_int8_is_taken_where_it_answers_alike_and_float16_elsewhere(maps: Maps, fit: SpatialFit) -> None:
    chosen = released.choose(fit, maps, NAMES)
    assert chosen.parity["ok"] and chosen.data == fit.files[chosen.encoding] and chosen.inputs == fit.inputs
    worse = released.choose(replace(fit, logits=fit.logits * 2), maps, NAMES)
    assert worse.encoding == "float16" and not worse.parity["ok"], "the gate refuses it with the figures"
