from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edge_node.capture.crop import suggest_crop
from protocols.imaging import Box
from tests.edge_node.capture.scenes import RIGHTLY, KnowsSubject, overlap, pixels, scene, shown, subject

PLACES = [Box(60, 40, 200, 160), Box(380, 250, 150, 210), Box(200, 100, 320, 300)]


@pytest.mark.parametrize("box", PLACES)
def test_the_subject_is_found(box: Box) -> None:
    picture = scene(box)
    found = suggest_crop(pixels(picture), KnowsSubject(picture))
    assert found is not None
    assert overlap(found, box) > RIGHTLY


@pytest.mark.parametrize("box", PLACES)
def test_a_subject_without_straight_edges_is_found_by_its_layout(box: Box) -> None:
    picture = scene(box, soft=True)
    found = suggest_crop(pixels(picture), KnowsSubject(picture))
    assert found is not None
    assert overlap(found, shown(box)) > 0.6


def test_of_two_frames_the_model_chooses_the_one_it_knows() -> None:
    picture, box = scene(Box(360, 200, 150, 150)), Box(360, 200, 150, 150)
    stranger = Image.fromarray(np.random.default_rng(3).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    picture.paste(stranger, (40, 60))
    found = suggest_crop(pixels(picture), KnowsSubject(picture))
    assert found is not None
    assert overlap(found, box) > 0.7


def test_a_familiar_picture_is_left_whole_after_one_look() -> None:
    picture = subject().resize((400, 300))
    model = KnowsSubject(picture)
    assert suggest_crop(pixels(picture), model) is None
    assert model.asked == [None]


def test_no_crop_is_suggested_where_nothing_is_known() -> None:
    picture = Image.effect_noise((400, 300), 60).convert("RGB")
    assert suggest_crop(pixels(picture), KnowsSubject(picture)) is None


def test_the_trunk_runs_eight_times_at_most_and_on_regions_it_takes() -> None:
    picture = scene(PLACES[0])
    model = KnowsSubject(picture)
    suggest_crop(pixels(picture), model)
    assert len(model.asked) <= 8  # each would have raised for a region outside the picture or too small


def test_the_same_picture_gets_the_same_crop() -> None:
    picture = scene(PLACES[1], soft=True)
    assert len({suggest_crop(pixels(picture), KnowsSubject(picture)) for _ in range(3)}) == 1


def test_without_statistics_only_a_plain_rectangle_is_suggested() -> None:
    found = suggest_crop(pixels(scene(PLACES[0])), None)
    assert found is not None
    assert overlap(found, PLACES[0]) > RIGHTLY
    assert suggest_crop(pixels(scene(PLACES[0], soft=True)), None) is None


@pytest.mark.parametrize("size", [(16, 16), (63, 300), (64, 64), (70, 1000), (1000, 64)])
def test_small_and_narrow_pictures_are_no_trouble(size: tuple[int, int]) -> None:
    picture = scene(Box(0, 0, 16, 16), size)
    for model in (None, KnowsSubject(picture)):
        found = suggest_crop(pixels(picture), model)
        assert found is None or min(found.width, found.height) >= 16


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_is_left_whole(level: int) -> None:
    picture = Image.new("RGB", (320, 240), (level,) * 3)
    assert suggest_crop(pixels(picture), KnowsSubject(picture)) is None
    assert suggest_crop(pixels(picture), None) is None
