"""Regions judged by the process that runs models, and what becomes of a model that dies over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_node.capture.cropped import cropped
from edge_node.capture.guarded import GuardedSuggestions
from edge_node.capture.novelty import ModelNovelty
from edge_node.capture.service import CropSuggestions
from edge_node.recognition.picture import Picture
from edge_node.worker.client import WorkerLimits, WorkerModels
from edge_node.worker.models import LocalModels, Models
from protocols.artifacts import Artifact
from protocols.imaging import Box, open_image, prepare
from protocols.manifest import NoveltyLimits, ReleaseManifest
from protocols.novelty import NoveltyStatistics, Subspace
from protocols.pipeline import Pipelines
from tests.edge_node.capture.scenes import RIGHTLY, overlap
from tests.edge_node.support.shelf import Shelf, faulty
from tests.edge_node.worker.test_guard import clinic

SUBJECT = Box(300, 120, 200, 160)


def statistics() -> bytes:
    """Of reddish pictures with any layout."""
    wide, flat = np.full(192, 100.0, np.float32), np.full(192, 0.5, np.float32)
    mean, scale = np.array([0.85, 0.1, 0.1], np.float32), np.full(3, 0.1, np.float32)
    colours = Subspace(mean, scale, np.array([[0.0], [0.0], [1.0]], np.float32))
    return NoveltyStatistics(colours, Subspace(flat, wide, np.eye(192, 1, dtype=np.float32))).to_bytes()


def limits() -> NoveltyLimits:
    return NoveltyLimits(Artifact.of("statistics", statistics()).sha256, ("mixed7_avg",), 1.0, 8.0, 2.0)


def photograph(path: Path, *, decoy: bool = False) -> Path:
    """A red rectangle on a mottled ground; the decoy is a larger one that no model knows."""
    levels = np.random.default_rng(3).integers(115, 125, (480, 640, 3)).astype(np.uint8)
    levels[..., 0] //= 2
    levels[120:280, 300:500] = (220, 30, 30)
    if decoy:
        levels[40:440, 40:240] = (255, 255, 255)
    Image.fromarray(levels).save(path)
    return path


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


def test_the_models_judge_exactly_the_pixels_that_they_are_given(models: Models, shelf: Shelf) -> None:
    release = shelf.release(padding=statistics(), novelty=limits())
    with open_image(photograph(shelf.folder / "photo.png")) as image:
        for box in (None, SUBJECT, Box(280, 100, 90, 300)):
            pixels = prepare(image, release.input, box)
            wanted = Pipelines(shelf.path).residuals(release, pixels, {})
            found = ModelNovelty(models).residuals(release, pixels, {})
            assert wanted is not None and found is not None
            assert found.appearance == pytest.approx(wanted.appearance, abs=1e-6)
    assert ModelNovelty(models).residuals(shelf.release(), pixels, {}) is None


async def test_what_the_model_knows_is_suggested(models: Models, shelf: Shelf) -> None:
    release = shelf.release(padding=statistics(), novelty=limits())
    suggestions = CropSuggestions(ModelNovelty(models), shelf.path)
    path = photograph(shelf.folder / "photo.png", decoy=True)
    plain, known = await suggestions.suggest(path, None), await suggestions.suggest(path, release)
    assert plain is not None and overlap(plain, SUBJECT) == 0
    assert known is not None and overlap(known, SUBJECT) > RIGHTLY


def suggesting(found: Any, models: Models) -> GuardedSuggestions:
    return GuardedSuggestions(CropSuggestions(ModelNovelty(models), found.node.cache.path), found.quarantine)


async def test_a_model_that_dies_over_a_suggestion_is_set_aside_and_the_plain_rectangle_stays(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"padding": statistics(), "novelty": limits()}
    async with clinic(tmp_path, "malaria@2", versions=2, **changes) as c:
        newest = next(m for m in await c.in_use() if m.disease == "malaria")
        path = photograph(tmp_path / "photo.png")
        for _ in range(2):
            box = await suggesting(c, c.models).suggest(path, newest)  # type: ignore[arg-type]
            assert box is not None and overlap(box, SUBJECT) > RIGHTLY
        assert [mark.name for mark in await c.quarantine.marks()] == ["malaria@2"]
        assert sorted(await c.node.active()) == ["malaria@1", "skin@1"]


async def test_a_crash_of_the_process_counts_as_the_models(shelf: Shelf) -> None:
    release = shelf.release("segfault", padding=statistics(), novelty=limits())
    with faulty(shelf) as models, pytest.raises(Exception) as died:
        await CropSuggestions(ModelNovelty(models), shelf.path).suggest(photograph(shelf.folder / "a.png"), release)
    assert getattr(died.value, "code", "") == "worker.model_crashed"


async def test_every_picture_is_recognised_in_its_own_region_by_one_version(tmp_path: Path) -> None:
    async with clinic(tmp_path, "malaria@2", over="second") as c:
        images = [photograph(tmp_path / "first.png"), photograph(tmp_path / "second.png"), tmp_path / "absent.png"]

        async def load() -> list[ReleaseManifest]:
            return [m for m in await c.in_use() if m.disease == "malaria"]

        suggestions = suggesting(c, c.models)  # type: ignore[arg-type]
        pictures = await cropped([Picture(image) for image in images], suggestions, await load())
        findings = await c.guard.recognise(pictures, await load(), None)
        assert [r["release"]["version"] for r in findings.results] == [1, 1]
        assert [f.code for f in findings.failures] == ["file.not_found"]
        for result in findings.results:
            assert result["crop"]["suggested"]
            box = Box(*(result["crop"][key] for key in ("x", "y", "w", "h")))
            assert overlap(box, SUBJECT) > RIGHTLY
            assert result["prediction_set"] == ["red"]
