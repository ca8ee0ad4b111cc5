"""``medmesh-edge recognise`` as a process of its own: ``--explain``, ranks, and the files that it takes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_node.paths import Paths
from protocols.artifacts import Artifact
from protocols.manifest import NoveltyLimits
from protocols.novelty import NoveltyStatistics, Subspace
from tests.edge_node.support.commands import edge
from tests.edge_node.support.releases import BLUE, RED, make_release, png
from tests.edge_node.support.server import CoordinatorServer
from tests.support.dicom import SECRETS, dicom_file


def statistics() -> bytes:
    """Of pictures whose every colour is between 0.4 and 0.6, and with any layout."""

    def subspace(features: int, scale: float) -> Subspace:
        mean, axes = np.full(features, 0.5, np.float32), np.eye(features, 1, dtype=np.float32)
        return Subspace(mean, np.full(features, scale, np.float32), axes)

    return NoveltyStatistics(subspace(3, 0.1), subspace(192, 100.0)).to_bytes()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(png(RED, edge=40))
    return path


@pytest.fixture
def equipped(joined: Path, coordinator: CoordinatorServer) -> Path:
    """The home of a node with a model that recognises red, and one that knows only grey pictures."""
    data = statistics()
    limits = NoveltyLimits(Artifact.of("novelty", data).sha256, ("mixed7_avg",), 1.0, 2.0, 2.0)
    coordinator.simulator.publish(make_release("greys", padding=data, novelty=limits))
    for disease in ("malaria", "greys"):
        assert edge(joined, "pull", disease).json["active"]
    return joined


def test_an_explanation_is_drawn_for_one_disease_and_for_all(equipped: Path, red: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    done = edge(equipped, "recognise", str(red), "--disease", "malaria", "--explain", str(out)).json["results"][0]
    assert done["explanation"] == {"file": str(out), "label": "red", "grid": [4, 4]} and done["rank"] == 1
    with Image.open(out) as drawn:
        assert (drawn.format, drawn.size, drawn.info) == ("PNG", (40, 40), {})

    every = edge(equipped, "recognise", str(red), "--all", "--explain", str(out)).json["results"]
    assert [(r["disease"], r["rank"], r["outcome"]) for r in every] == [
        ("malaria", 1, "recognised"),
        ("greys", 2, "not_this_kind_of_image"),
    ]
    assert every[0]["explanation"]["file"] == str(tmp_path / "out-1-malaria.png")
    assert (every[1]["explanation"], every[1]["explanation_reason"]) == (None, "not_this_kind_of_image")
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out-1-malaria.png", "out.png"]


def test_an_explanation_that_cannot_be_written_ends_with_6_after_the_results(
    equipped: Path, red: Path, tmp_path: Path
) -> None:
    out = tmp_path / "absent" / "out.png"
    done = edge(equipped, "recognise", str(red), "--disease", "malaria", "--explain", str(out))
    assert (done.code, done.error["code"]) == (6, "edge.explanation_unwritable")
    assert '"outcome": "recognised"' in done.out and '"explanation_reason": "not_written"' in done.out


def test_wrong_names_for_an_explanation_are_usage_errors(equipped: Path, red: Path, tmp_path: Path) -> None:
    for out, code in ((tmp_path / "out.jpg", "edge.explain_png"), (red, "edge.explain_over_image")):
        done = edge(equipped, "recognise", str(red), "--disease", "malaria", "--explain", str(out))
        assert (done.code, done.error["code"]) == (2, code)


@pytest.mark.parametrize("harm", ["altered", "missing"])
def test_damaged_novelty_statistics_are_found_before_anything_is_answered(equipped: Path, red: Path, harm: str) -> None:
    file = Paths.of_home(equipped).cache / "artifacts" / Artifact.of("novelty", statistics()).sha256
    data = file.read_bytes()
    file.unlink()
    if harm == "altered":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = edge(equipped, "recognise", str(red), "--disease", "greys")
    assert (done.code, done.error["code"]) == (4, "edge.cache_damaged")
    assert edge(equipped, "recognise", str(red), "--disease", "malaria").code == 0


def test_dicom_is_recognised_by_its_content_and_nothing_of_its_header_gets_out(equipped: Path, tmp_path: Path) -> None:
    colours = np.stack([np.full((40, 60, 3), colour, np.uint8) for colour in (BLUE, RED)])
    path, out = dicom_file(tmp_path / "IM0001", colours, "RGB"), tmp_path / "out.png"
    asked = ("recognise", str(path), "--disease", "malaria")
    several = edge(equipped, *asked)
    assert (several.code, several.error["code"]) == (3, "image.several_frames")

    done = edge(equipped, *asked, "--frame", "2", "--explain", str(out), "--crop", "0,0,30,40")
    (found,) = done.json["results"]
    assert (found["prediction_set"], found["outcome"], found["frame"]) == (["red"], "recognised", 2)
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    with Image.open(out) as drawn:
        assert drawn.size == (30, 40) and drawn.info == {}
    assert edge(equipped, *asked, "--frame", "1").json["results"][0]["prediction_set"] == ["blue"]
    suggested = edge(equipped, *asked, "--frame", "2", "--crop", "auto").json["results"][0]
    assert suggested["prediction_set"] == ["red"]

    absent = edge(equipped, *asked, "--frame", "3")
    assert (absent.code, absent.error["code"]) == (2, "image.frame_absent")
    path.write_bytes(path.read_bytes()[:900])
    broken = edge(equipped, *asked, "--frame", "1")
    assert (broken.code, broken.error["code"]) == (3, "image.dicom_unreadable")
    for said in (done, several, absent, broken):
        assert not any(secret in said.out + said.err for secret in SECRETS)
    for file in (p for p in equipped.rglob("*") if p.is_file()):
        assert not any(secret.encode() in file.read_bytes() for secret in SECRETS)
