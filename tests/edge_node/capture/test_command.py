"""``medmesh-edge recognise --crop``: a suggested region for each picture, or a given one."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from protocols.imaging import Box
from tests.edge_node.capture.scenes import RIGHTLY, overlap
from tests.edge_node.capture.test_novelty import SUBJECT, limits, photograph, statistics
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import Simulator, make_release


@pytest.fixture
def simulator() -> Simulator:
    return Simulator([make_release(padding=statistics(), novelty=limits())])


def test_each_picture_is_shown_in_the_region_that_the_model_knows(joined: Path, tmp_path: Path) -> None:
    assert edge(joined, "pull", "malaria").json["active"]
    whole, out = tmp_path / "whole.png", tmp_path / "out.png"
    Image.new("RGB", (320, 240), (220, 30, 30)).save(whole)
    pictures = (str(photograph(tmp_path / "a.png", decoy=True)), str(whole))
    asked = ("recognise", *pictures, "--disease", "malaria", "--crop", "auto", "--explain", str(out))
    first, second = edge(joined, *asked).json["results"]
    crop = first["crop"]
    assert crop["suggested"] is True
    assert overlap(Box(crop["x"], crop["y"], crop["w"], crop["h"]), SUBJECT) > RIGHTLY
    assert (first["outcome"], first["prediction_set"]) == ("recognised", ["red"])
    assert (second["crop"], second["outcome"]) == (None, "recognised"), "familiar as it is"
    with Image.open(first["explanation"]["file"]) as drawn:
        assert drawn.size == (crop["w"], crop["h"])
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out-1-malaria.png", "out-2-malaria.png"]

    given = edge(joined, "recognise", pictures[0], "--disease", "malaria", "--crop", "300,120,200,160").json
    assert given["results"][0]["crop"] == {"x": 300, "y": 120, "w": 200, "h": 160, "suggested": False}


def test_a_picture_that_cannot_be_read_fails_as_without_a_suggestion(joined: Path, tmp_path: Path) -> None:
    assert edge(joined, "pull", "malaria").json["active"]
    done = edge(joined, "recognise", str(tmp_path / "absent.png"), "--disease", "malaria", "--crop", "auto")
    assert (done.code, done.error["code"]) == (4, "file.not_found")
