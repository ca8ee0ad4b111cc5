"""A training that is killed goes on from its last epoch and ends as if it had not been."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training import folds
from coordinator.training.spatial import child, curves, training
from coordinator.training.spatial import job as jobs
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.job import Job
from coordinator.training.spatial.maps import MapReader
from tests.support.killed_training import SmallHeads
from tests.support.spatial import made

LABELS = np.arange(48) % 2
GROUPS = np.array([f"patient {n // 3}" for n in range(48)])
PLANS = folds.plans(LABELS, GROUPS, 2, 1)


def small_job(folder: Path, **changes: Any) -> Job:
    maps = made(folder / "maps", LABELS, views=1)
    changed = {"maps": ("mixed4",), "epochs": 30, "batch": 16, "views": 1, "validation": 0.4, "patience": 30, **changes}
    job = jobs.cross_validation(maps, LABELS, GROUPS, PLANS, SpatialConfig(**changed))
    assert job.runs[0].validation.any(axis=1).all()
    return job


def trained_here(job: Job, checkpoint: Path) -> tuple[SmallHeads, list[int]]:
    heads, told = SmallHeads(2, 768, 2), list[int]()
    child.train_run(job, job.runs[0], heads, MapReader(job.maps), checkpoint, told.append)  # type: ignore[arg-type]
    return heads, told


def test_ten_kills_at_any_moment_leave_the_result_of_none(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    undisturbed, told = trained_here(job, tmp_path / "undisturbed")
    assert told == list(range(1, 31))
    folder = tmp_path / "killed"
    folder.mkdir()
    job.save(folder)
    chance = np.random.default_rng(4)
    epochs: list[int] = []
    kills = 0
    while not child.result_path(folder, 0).is_file():
        command = [sys.executable, "-m", "tests.support.killed_training", str(folder), "0.01"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if kills < 10:
                ahead = int(chance.integers(0, 3))  # epochs that it gets done before it is killed
                epochs += [int(process.stdout.readline()) for _ in range(ahead + 1)]
                threading.Event().wait(float(chance.uniform(0, 0.04)))
                process.kill()
                kills += 1
            epochs += [int(line) for line in process.stdout]
    assert kills == 10
    assert epochs == sorted(epochs) and epochs[-1] == 30, "never starts over"
    logits = undisturbed.logits(MapReader(job.maps), np.arange(48))
    assert np.array_equal(np.load(child.result_path(folder, 0)), logits)


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=3)
    checkpoint = tmp_path / "checkpoint"
    trained_here(job, checkpoint)
    data = checkpoint.read_bytes()
    for damaged in (b"", data[: len(data) // 2], data[:200] + b"x" + data[201:]):
        checkpoint.write_bytes(damaged)
        _, told = trained_here(job, checkpoint)
        assert told in ([1, 2, 3], []), "from the start, or not damaged where it counts"
    checkpoint.write_bytes(data)
    assert trained_here(job, checkpoint)[1] == []


def test_training_ends_when_no_head_gets_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = small_job(tmp_path, epochs=20, patience=2)
    losses = iter([3.0, 2.0, 1.0, *[4.0] * 17])
    monkeypatch.setattr(child, "_losses", lambda *_: np.full(2, next(losses)))
    kept: list[Any] = []
    heads = SmallHeads(2, 768, 2)

    def tell(epoch: int) -> None:
        kept.append(heads.weights()["answer"])

    child.train_run(job, job.runs[0], heads, MapReader(job.maps), tmp_path / "checkpoint", tell)  # type: ignore[arg-type]
    assert len(kept) == 5
    assert np.array_equal(heads.weights()["answer"], kept[2]), "the weights of the best epoch"


def test_losses_of_each_epoch_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Means over images and heads; a head without validation images does not count."""
    job = small_job(tmp_path, epochs=3)
    losses = iter([np.array([1.0, np.inf]), np.array([3.0, 2.0]), np.array([2.0, 1.0])])
    monkeypatch.setattr(child, "_losses", lambda *_: next(losses))
    told: list[tuple[int, float, float | None]] = []
    heads = SmallHeads(2, 768, 2)
    heads.step = lambda maps, targets, weights, seed: float(weights.sum() * 0.25)  # type: ignore[method-assign]
    checkpoint, reader = tmp_path / "checkpoint", MapReader(job.maps)
    child.train_run(job, job.runs[0], heads, reader, checkpoint, lambda _: None, lambda *p: told.append(p))  # type: ignore[arg-type]
    assert told == [(n, pytest.approx(0.25), found) for n, found in ((1, 1.0), (2, 2.5), (3, 1.5))]


def test_each_head_keeps_its_own_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = small_job(tmp_path, epochs=3)
    losses = iter([np.array([1.0, 3.0]), np.array([2.0, 2.0]), np.array([3.0, 1.0])])
    monkeypatch.setattr(child, "_losses", lambda *_: next(losses))
    kept: list[Any] = []
    heads = SmallHeads(2, 768, 2)
    child.train_run(
        job,
        job.runs[0],
        heads,  # type: ignore[arg-type]
        MapReader(job.maps),
        tmp_path / "checkpoint",
        lambda _: kept.append(heads.weights()["answer"]),
    )
    chosen = heads.weights()["answer"]
    assert np.array_equal(chosen[0], kept[0][0]) and np.array_equal(chosen[1], kept[2][1])


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=3)
    heads = SmallHeads(2, 768, 2)
    heads.step = lambda *_: float("nan")  # type: ignore[method-assign]
    with pytest.raises(CoordinatorError) as refused:
        child.train_run(job, job.runs[0], heads, MapReader(job.maps), tmp_path / "c", lambda _: None)  # type: ignore[arg-type]
    assert refused.value.code == "train.spatial_diverged" and not (tmp_path / "c").exists()


def test_every_epoch_shows_every_image_once_and_views_in_their_share() -> None:
    config = SpatialConfig(views=2, view_share=0.6)
    images, views = child.order(np.arange(1000), 3, 4, config)
    assert sorted(images.tolist()) == list(range(1000)) and set(views.tolist()) == {0, 1, 2}
    assert (views > 0).mean() == pytest.approx(0.6, abs=0.05)
    again = child.order(np.arange(1000), 3, 4, config)
    assert np.array_equal(again[0], images) and np.array_equal(again[1], views)
    assert not np.array_equal(child.order(np.arange(1000), 3, 5, config)[0], images)
    assert not child.order(np.arange(10), 0, 0, config)[1].any()


class Script:
    """In place of the child: a small program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
        self.started = 0
        real = subprocess.Popen

        def popen(command: list[str], **options: Any) -> Any:
            text = "import os,signal,sys,time\n" + lines[min(self.started, len(lines) - 1)].format(folder=command[-1])
            self.started += 1
            self.process = real([sys.executable, "-c", text], **options)
            return self.process

        monkeypatch.setattr(training.subprocess, "Popen", popen)


SAYS = 'print(\'{{"done": %d, "total": 9, "left": 1}}\', flush=True)\n'
DIES = "os.kill(os.getpid(), signal.SIGKILL)\n"


def fit(folder: Path, progress: training.Progress = lambda *_: None) -> Any:
    maps = made(folder / "maps", LABELS)
    return training.cross_validated(maps, LABELS, GROUPS, PLANS, SpatialConfig(), folder / "work", progress)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_child_that_is_killed_is_started_again_as_long_as_it_gets_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(monkeypatch, SAYS % 1 + DIES, SAYS % 4 + DIES, DIES)
    with pytest.raises(CoordinatorError) as refused:
        fit(tmp_path)
    assert refused.value.code == "train.spatial_failed" and script.started == 3


def test_who_follows_hears_of_every_epoch_that_the_child_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    child._say_losses("ab/0", "mixed4", 1, 0.75, None)
    line = capsys.readouterr().out.strip().replace("{", "{{").replace("}", "}}")
    Script(monkeypatch, f"print('{line}', flush=True)\n")
    heard: list[curves.Point] = []

    def followed() -> None:
        curves.listener.set(heard.append)
        with pytest.raises(CoordinatorError):  # it ends without having finished
            fit(tmp_path)

    contextvars.copy_context().run(followed)
    assert heard == [curves.Point("ab/0", "mixed4", 1, 0.75, None)]


def test_what_the_child_refuses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Script(monkeypatch, 'print(\'{{"code": "train.spatial_diverged", "details": {{}}}}\', flush=True)')
    with pytest.raises(CoordinatorError) as refused:
        fit(tmp_path)
    assert refused.value.code == "train.spatial_diverged"


def test_cancelling_ends_the_child_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, SAYS % 1 + "time.sleep(600)")

    def cancel(done: int, total: int, left_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, cancel)
    assert script.process.poll() is not None


def test_the_child_leaves_when_its_parent_is_gone(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    job.save(tmp_path)
    command = [sys.executable, "-m", "coordinator.training.spatial.child", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 1
    assert not child.result_path(tmp_path, 0).exists()
