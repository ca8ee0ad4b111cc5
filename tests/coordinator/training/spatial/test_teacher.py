"""What a teacher learns from, and what of its answers a head gets to see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training import folds
from coordinator.training.spatial import child, training
from coordinator.training.spatial import job as jobs
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.job import Job
from coordinator.training.spatial.maps import MapReader, Maps
from coordinator.training.spatial.teacher import TeacherConfig, targets
from tests.support.killed_training import SmallHeads
from tests.support.spatial import made

LABELS = np.arange(48) % 2
GROUPS = np.array([f"patient {n // 3}" for n in range(48)])
PLANS = folds.plans(LABELS, GROUPS, 2, 1)
LEARNT = PLANS[0] == 0
HEAD = SpatialConfig(maps=("mixed4",), epochs=12, batch=16, views=1, taught=0.7, temperature=2.0, label_smoothing=0.1)
TEACHER = TeacherConfig("random-1", epochs=2, batch=16)


def answers(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (2, 2, 48, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Maps:
    return made(tmp_path_factory.mktemp("maps"), LABELS, views=1)


def taught_job(maps: Maps, taught: np.ndarray) -> Job:
    return jobs.cross_validation(maps, LABELS, GROUPS, PLANS, HEAD, taught)


def test_targets_mix_softened_answers_with_labels() -> None:
    given = np.zeros((1, 2, 2), np.float32)
    given[0, 0] = 0.0, 2 * np.log(3)  # at temperature 2: one to three
    found = targets(np.array([0, 0]), given, np.array([True, True]), HEAD)
    assert found[0, 0] == pytest.approx([0.7 * 0.25 + 0.3 * 0.95, 0.7 * 0.75 + 0.3 * 0.05])
    assert found.sum(axis=2) == pytest.approx(np.ones((1, 2)))


def test_a_teachers_word_on_unseen_images_is_never_used(maps: Maps) -> None:
    given, other = answers(), answers()
    for fold in range(2):
        other[fold][:, PLANS[0] == fold] = np.nan
    job, again = taught_job(maps, given), taught_job(maps, other)
    assert job.digest() == again.digest()
    (run,) = job.runs
    assert run.targets is not None
    for head, fold in enumerate(range(2)):
        assert not run.targets[head][:, PLANS[0] == fold].any()
        assert (run.targets[head][:, PLANS[0] != fold] > 0).all()
    assert not np.allclose(run.targets[0], run.targets[1]), "each fold has a teacher of its own"


def test_who_was_taught_otherwise_is_another_job(maps: Maps, tmp_path: Path) -> None:
    job = taught_job(maps, answers())
    assert len({job.digest(), taught_job(maps, answers(1)).digest(), taught_job(maps, answers(2)).digest()}) == 3
    job.save(tmp_path)
    read = Job.load(tmp_path)
    assert read.digest() == job.digest() and read.runs[0].targets is not None
    assert np.array_equal(read.runs[0].targets, job.runs[0].targets)


def test_teachers_learn_their_part_alone_and_their_job_survives_its_files(maps: Maps, tmp_path: Path) -> None:
    job = jobs.lessons(maps, LABELS, [LEARNT, ~LEARNT], TEACHER, Path("/weights"))
    assert [np.array_equal(r.train[0], rows) for r, rows in zip(job.runs, (LEARNT, ~LEARNT), strict=True)] == [True] * 2
    assert not any(r.validation.any() for r in job.runs)
    job.save(tmp_path)
    read = Job.load(tmp_path)
    assert read.digest() == job.digest() and read.config == TEACHER and read.backbones == Path("/weights")
    elsewhere = jobs.lessons(maps, LABELS, [LEARNT, ~LEARNT], TEACHER, Path("/moved"))
    assert elsewhere.digest() == job.digest()
    assert jobs.lessons(maps, LABELS, [LEARNT], TEACHER, Path()).digest() != job.digest()


class Seeing(SmallHeads):
    """Notes the targets that it is shown."""

    shown: list[np.ndarray]

    def step(self, maps: object, targets: np.ndarray, weights: np.ndarray, seed: int) -> float:
        self.shown.append(targets)
        return super().step(maps, targets, weights, seed)


def trained(job: Job, checkpoint: Path, most: int = 99) -> Seeing:
    heads, told = Seeing(2, 768, 2), list[int]()
    heads.shown = []

    def tell(epoch: int) -> None:
        told.append(epoch)
        if len(told) == most:
            raise KeyboardInterrupt

    child.train_run(job, job.runs[0], heads, MapReader(job.maps), checkpoint, tell)
    return heads


def test_a_taught_head_goes_on_where_it_was_stopped(maps: Maps, tmp_path: Path) -> None:
    job = taught_job(maps, answers())
    whole = trained(job, tmp_path / "whole")
    for most in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            trained(job, tmp_path / "stopped", most)
    rest = trained(job, tmp_path / "stopped")
    assert len(rest.shown) * 3 == len(whole.shown), "never starts over"
    assert np.array_equal(rest.weights()["answer"], whole.weights()["answer"])


def test_each_view_is_shown_with_its_own_target(maps: Maps, tmp_path: Path) -> None:
    job = taught_job(maps, answers())
    shown = trained(job, tmp_path / "c").shown
    images, views = child.order(np.arange(48), 1, 0, HEAD)
    run = job.runs[0]
    assert run.targets is not None and shown[0].shape == (2, 16, 2) and views[:16].any()
    assert np.array_equal(shown[0], run.targets[:, views[:16], images[:16]])


@pytest.mark.slow
def test_a_teacher_learns_and_its_checkpoint_is_all_of_it(maps: Maps, tmp_path: Path) -> None:
    job = jobs.lessons(maps, LABELS, [LEARNT], TEACHER, tmp_path)
    job.save(tmp_path)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "tests.support.one_teacher", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.pop("learns") == ["kernel"] * 24 + ["answer", "answer-bias"], "and no shift of a normalisation"
    assert said == {"moved": True, "same_step_again": True, "same_answers_again": True}
    found = np.load(child.result_path(tmp_path, 0))
    assert found.shape == (2, 48, 2) and np.isfinite(found[0]).all(), "images are answered for"
    assert np.isfinite(found[1, LEARNT]).all() and np.isnan(found[1, ~LEARNT]).all(), "views of unseen ones are not"
    assert not list(tmp_path.glob("*.checkpoint"))


def test_weights_that_are_gone_are_said_to_be(maps: Maps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        text = 'print(\'{"code": "backbone.unreachable", "details": {"name": "x"}}\', flush=True)'
        assert options["env"]["ONEDNN_DEFAULT_FPMATH_MODE"] == "BF16"  # type: ignore[index]
        return real([sys.executable, "-c", text], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(training.subprocess, "Popen", popen)
    with pytest.raises(CoordinatorError) as refused:
        training.teachers(maps, LABELS, [LEARNT], TEACHER, tmp_path, tmp_path / "work", lambda *_: None)
    assert refused.value.code == "backbone.unreachable"
