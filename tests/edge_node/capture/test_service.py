from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from edge_node.capture.service import CropSuggestions
from protocols.imaging import TURNS, Box, ImageError, open_image, prepare
from protocols.manifest import NoveltyLimits, ReleaseManifest
from protocols.novelty import Residuals
from tests.edge_node.capture.scenes import RIGHTLY, SPEC, overlap, scene, statistics, strangeness
from tests.support.manifests import NOVELTY, example

SIZE, SUBJECT = (1600, 1200), Box(900, 150, 450, 700)
UNTURNED = {6: 8, 8: 6}  # the others undo themselves


class SubjectRunner:
    """Knows the subject; may be held up."""

    def __init__(self) -> None:
        self.runs, self.running, self.most_at_once = 0, 0, 0
        self.started, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def residuals(
        self, manifest: ReleaseManifest, pixels: NDArray[np.float32], memo: dict[str, Any]
    ) -> Residuals | None:
        self.runs += 1
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.started.set()
        assert self.go_on.wait(10)
        self.running -= 1
        return Residuals(2 * strangeness(pixels), 0.0)


@pytest.fixture
def manifest() -> ReleaseManifest:
    return replace(example(), novelty=NoveltyLimits(NOVELTY, ("mixed7_avg",), 2.0, 16.0, 2.0), input=SPEC)


@pytest.fixture
def path_of(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / NOVELTY).write_bytes(statistics().to_bytes())
    return tmp_path.joinpath


def photograph(path: Path, turn: int = 1, **options: Any) -> Path:
    """The scene as a camera stores it: turned, with a note how to turn it back."""
    picture = scene(SUBJECT, SIZE)
    if turn in TURNS:
        picture = picture.transpose(TURNS[UNTURNED.get(turn, turn)])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    picture.save(path, exif=exif, quality=92, **options)
    return path


@pytest.mark.parametrize("turn", range(1, 9))
async def test_the_box_is_in_pixels_of_the_picture_as_people_see_it(
    tmp_path: Path, path_of: Callable[[str], Path], manifest: ReleaseManifest, turn: int
) -> None:
    path = photograph(tmp_path / "photo.jpg", turn)
    box = await CropSuggestions(SubjectRunner(), path_of).suggest(path, manifest)
    assert box is not None
    assert overlap(box, SUBJECT) > RIGHTLY
    with open_image(path) as image:
        assert strangeness(prepare(image, SPEC, box)) < 1


async def test_without_statistics_or_release_the_plain_rectangle_is_suggested(
    tmp_path: Path, path_of: Callable[[str], Path], manifest: ReleaseManifest
) -> None:
    runner = SubjectRunner()
    path = photograph(tmp_path / "photo.png")
    for known in (replace(manifest, novelty=None), None):
        box = await CropSuggestions(runner, path_of).suggest(path, known)
        assert box is not None
        assert overlap(box, SUBJECT) > RIGHTLY
    assert runner.runs == 0


async def test_the_loop_stays_free_and_cancelling_ends_the_work(
    tmp_path: Path, path_of: Callable[[str], Path], manifest: ReleaseManifest
) -> None:
    runner = SubjectRunner()
    runner.go_on.clear()
    suggestions = CropSuggestions(runner, path_of)
    path = photograph(tmp_path / "photo.jpg")
    first = asyncio.create_task(suggestions.suggest(path, manifest))
    assert await asyncio.to_thread(runner.started.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(suggestions.suggest(path, manifest))
    await asyncio.sleep(0.05)
    runner.go_on.set()
    box = await second
    assert box is not None
    assert overlap(box, SUBJECT) > RIGHTLY
    assert runner.most_at_once == 1
    assert runner.runs <= 1 + 8  # the first got no further


async def test_what_cannot_be_read_is_said(
    tmp_path: Path, path_of: Callable[[str], Path], manifest: ReleaseManifest
) -> None:
    suggestions = CropSuggestions(SubjectRunner(), path_of)
    (tmp_path / "broken.jpg").write_bytes(photograph(tmp_path / "photo.jpg").read_bytes()[:3000])
    with pytest.raises(ImageError):
        await suggestions.suggest(tmp_path / "broken.jpg", manifest)
    with pytest.raises(OSError):
        await suggestions.suggest(tmp_path / "absent.jpg", manifest)
