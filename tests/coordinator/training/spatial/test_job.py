"""Who learns from which images: folds, members, images held back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.training import folds
from coordinator.training.spatial import job as jobs
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.job import Job
from tests.support.spatial import made

LABELS = np.arange(60) % 2
GROUPS = np.array([f"patient {n // 3}" for n in range(60)])
PLANS = folds.plans(LABELS, GROUPS, 3, 2)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    maps = made(tmp_path_factory.mktemp("maps"), LABELS)
    return jobs.cross_validation(maps, LABELS, GROUPS, PLANS, SpatialConfig(members=2, validation=0.25))


def test_no_head_learns_from_or_is_chosen_by_what_it_is_tested_on(job: Job) -> None:
    for run, plan in zip(job.runs, PLANS, strict=True):
        for head in range(len(run.seeds)):
            fold = np.unique(plan)[head // 2]
            assert not (run.train[head] | run.validation[head])[plan == fold].any()
            assert (run.train[head] ^ run.validation[head])[plan != fold].all()


def test_groups_are_never_divided_between_learning_and_choosing(job: Job) -> None:
    for run in job.runs:
        for train, validation in zip(run.train, run.validation, strict=True):
            assert validation.any() and not set(GROUPS[train]) & set(GROUPS[validation])


def test_every_head_has_a_seed_of_its_own(job: Job) -> None:
    seeds = [s for run in job.runs for s in run.seeds]
    assert len(set(seeds)) == len(seeds) == 12


def test_nothing_is_held_back_where_a_class_would_be_lost() -> None:
    labels = np.array([0] * 50 + [1])
    assert not jobs.held_back(labels, np.arange(51).astype(str), 0.5).any()


def test_images_held_back_stay_the_same_as_data_grow() -> None:
    groups = np.arange(400).astype(str)
    labels = np.arange(400) % 2
    assert np.array_equal(jobs.held_back(labels, groups, 0.2)[:300], jobs.held_back(labels[:300], groups[:300], 0.2))


def test_classes_count_alike_at_full_power() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    weights = jobs.class_weights(labels, 1.0)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert jobs.class_weights(labels, 0.0) == pytest.approx(np.ones(100))


def test_out_of_fold_answers_are_the_mean_of_the_folds_own_members() -> None:
    plan = np.array([2, 0, 2, 0])
    logits = np.zeros((4, 4, 2), np.float32)
    logits[0], logits[1], logits[2], logits[3] = 1, 3, 10, 20
    assert jobs.out_of_fold(logits, plan, 2)[:, 0].tolist() == [15, 2, 15, 2]


def test_a_job_is_the_same_after_its_files(job: Job, tmp_path: Path) -> None:
    job.save(tmp_path)
    read = Job.load(tmp_path)
    assert read.digest() == job.digest() and read.config == job.config
    assert [np.array_equal(a.train, b.train) for a, b in zip(read.runs, job.runs, strict=True)] == [True, True]


def test_another_job_has_another_name(job: Job) -> None:
    maps = job.maps
    others = [
        jobs.cross_validation(maps, LABELS, GROUPS, PLANS, SpatialConfig(members=2, validation=0.25, seed=1)),
        jobs.cross_validation(maps, 1 - LABELS, GROUPS, PLANS, job.config),
        jobs.cross_validation(maps, LABELS, GROUPS, PLANS[::-1], job.config),
    ]
    assert len({job.digest(), *(o.digest() for o in others)}) == 4
