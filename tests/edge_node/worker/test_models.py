"""One suite for everything that runs models: within the program and in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recognition
from edge_node.worker.client import WorkerLimits, WorkerModels
from edge_node.worker.models import LocalModels, Models
from protocols.errors import ProtocolError
from protocols.imaging import Box, ImageError, InputSpec
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines
from tests.edge_node.support.faulty_worker import FaultyPipelines
from tests.edge_node.support.releases import BLUE, RED
from tests.edge_node.support.shelf import Shelf, faulty


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture(params=["local", "worker"])
def models(request: pytest.FixtureRequest, shelf: Shelf) -> Iterator[Models]:
    if request.param == "local":
        yield LocalModels(Pipelines(shelf.path))
        return
    worker = WorkerModels(shelf.path, WorkerLimits())
    yield worker
    worker.close()


def run(models: Models, image: Path, *releases: ReleaseManifest, crop: Box | None = None) -> list[Recognition]:
    return models.recognise(Picture(image, crop), releases)


def test_each_release_is_answered_in_order(models: Models, shelf: Shelf) -> None:
    releases = [shelf.release("a"), shelf.release("b", input=InputSpec(64, (0.0, 1.0))), shelf.release("c")]
    both = shelf.photo("both.png", RED, BLUE)
    found = run(models, both, *releases, crop=Box(80, 0, 80, 80))
    assert [r.manifest.model for r in found] == ["a", "b", "c"]
    assert all(r.answer.in_set == (1,) and r.answer.outcome == "recognised" and r.picture.file == both for r in found)
    assert run(models, both, releases[0], crop=Box(0, 0, 80, 80))[0].answer.in_set == (0,)


def test_golden_scores_are_the_publishers(models: Models, shelf: Shelf) -> None:
    release = shelf.release()
    scores = models.golden_scores(release, shelf.path(release.golden.sha256))
    assert np.abs(scores - np.array(release.golden.scores)).max() < 1e-4


def test_failures_are_the_same(models: Models, shelf: Shelf) -> None:
    release = shelf.release()
    with pytest.raises(FileNotFoundError) as absent:
        run(models, shelf.folder / "absent.png", release)
    assert absent.value.filename
    with pytest.raises(IsADirectoryError):
        run(models, shelf.folder, release)
    (shelf.folder / "text.png").write_bytes(b"no picture")
    with pytest.raises(ImageError) as unreadable:
        run(models, shelf.folder / "text.png", release)
    assert unreadable.value.code == "image.unreadable"
    with pytest.raises(ImageError) as outside:
        run(models, shelf.photo(), release, crop=Box(70, 70, 50, 50))
    assert (outside.value.code, outside.value.details["width"]) == ("image.crop_outside", 80)
    broken = shelf.release("broken", head=b"no model")
    with pytest.raises(ProtocolError) as unusable:
        run(models, shelf.photo(), broken)
    assert unusable.value.code == "stage.unusable"
    assert run(models, shelf.photo(), release)[0].answer.outcome == "recognised"


def test_an_answer_from_the_worker_is_the_local_one_in_every_field(shelf: Shelf) -> None:
    release, image = shelf.release("located"), shelf.photo("photo.png", RED, BLUE)
    (here,) = LocalModels(FaultyPipelines(shelf.path)).recognise(Picture(image), [release], explain=True)
    with faulty(shelf) as worker:
        (there,) = worker.recognise(Picture(image), [release], explain=True)
    exact = {f.name for f in fields(Recognition)} - {"prepare_ms", "infer_ms", "answer", "evidence"}
    assert all(getattr(here, name) == getattr(there, name) for name in exact)
    assert (here.answer.scores == there.answer.scores).all()
    for name in {f.name for f in fields(here.answer)} - {"scores"}:
        assert getattr(here.answer, name) == getattr(there.answer, name)
    assert here.evidence is not None and there.evidence is not None
    assert (here.evidence.grid == there.evidence.grid).all() and (here.evidence.bias == there.evidence.bias).all()
    assert there.prepare_ms > 0 and there.infer_ms > 0


def test_what_a_library_prints_does_not_get_between_the_messages(shelf: Shelf) -> None:
    with faulty(shelf) as worker:
        assert run(worker, shelf.photo(), shelf.release("chatter"))[0].answer.outcome == "recognised"


def test_a_name_that_is_no_text_and_a_relative_one_reach_the_worker(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = shelf.photo("photo-\udcff.png")
    release = shelf.release()
    with faulty(shelf) as worker:
        assert run(worker, odd, release)[0].picture.file == odd
        monkeypatch.chdir(shelf.folder)
        shelf.photo("near.png")
        assert run(worker, Path("near.png"), release)[0].picture.file == Path("near.png")


class Slow(Pipelines):
    """Notices when it is run twice at a time."""

    running, most = 0, 0

    def logits(self, *arguments: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(0.05)
        self.running -= 1
        return super().logits(*arguments)


def test_within_the_program_one_model_runs_at_a_time(shelf: Shelf) -> None:
    runner, release, photo = Slow(shelf.path), shelf.release(), Picture(shelf.photo())
    models = LocalModels(runner)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: models.recognise(photo, [release]), range(3)))
    assert runner.most == 1
