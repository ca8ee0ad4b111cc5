from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edge_node.capture.rectangles import Edges, distinct
from edge_node.capture.thumbnails import Thumbnails
from protocols.imaging import Box, InputSpec, prepare
from protocols.novelty import thumbnail
from tests.edge_node.capture.scenes import corners, pixels, scene


@pytest.mark.parametrize("box", [Box(10, 20, 100, 80), Box(120, 60, 70, 110), Box(120, 90, 130, 95)])
def test_a_pasted_rectangle_comes_first(box: Box) -> None:
    picture = scene(box, (256, 192))
    found = Edges.of(pixels(picture)).rectangles(5)
    assert np.abs(found[0] - corners(box)[0]).max() <= 1


def test_a_border_counts_as_far_as_it_is_there() -> None:
    levels = np.full((100, 100, 3), 50, np.uint8)
    levels[20:60, 30:80] = 200
    edges = Edges.of(levels)
    right, shifted, longer = edges.strength(np.array([[30, 20, 80, 60], [35, 25, 85, 65], [30, 20, 80, 90]]))
    assert right == pytest.approx(1, abs=0.01)
    assert shifted < 0.1
    assert shifted < longer < right


def test_nothing_is_found_where_nothing_is() -> None:
    assert Edges.of(np.full((90, 120, 3), 128, np.uint8)).rectangles(5).shape == (0, 4)


def test_boxes_that_are_nearly_the_same_count_once() -> None:
    boxes = np.array([[0, 0, 100, 100], [1, 0, 100, 100], [50, 50, 150, 150], [51, 50, 150, 150]])
    assert distinct(boxes, 4).tolist() == [[0, 0, 100, 100], [50, 50, 150, 150]]
    assert distinct(boxes, 1).tolist() == [[0, 0, 100, 100]]
    assert distinct(boxes[:0], 3).shape == (0, 4)


def test_thumbnails_are_those_that_novelty_measures() -> None:
    picture = scene(Box(64, 40, 128, 96), (256, 192))
    spec = InputSpec(96, (-1.0, 1.0))
    boxes = [Box(64, 40, 128, 96), Box(3, 5, 77, 101), Box(0, 0, 256, 192)]
    ours = Thumbnails(pixels(picture)).of(np.concatenate([corners(box) for box in boxes]))
    for row, box in zip(ours, boxes, strict=True):
        theirs = thumbnail(prepare(Image.fromarray(pixels(picture)), spec, box), spec)
        assert np.abs(row - theirs).max() < 0.2  # other resampling
        assert np.corrcoef(row, theirs)[0, 1] > 0.995
        assert row.std() == pytest.approx(theirs.std(), rel=0.02)
