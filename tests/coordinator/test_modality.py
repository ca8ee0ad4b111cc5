"""What a data set's names and pictures say about its kind of imaging, and what altered views then may do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordinator.training import modality, views
from coordinator.training.modality import FREEDOM, MODALITIES, Modality
from protocols.imaging import InputSpec, open_image, prepare

SPEC = InputSpec(75, (0.0, 1.0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["malaria_cells", "malaria", "parasitized", "uninfected"], "microscopy"),
        (["cxr_pneumonia", "pneumonia", "normal"], "xray"),
        (["chest X-ray set", "covid"], "xray"),
        (["brain_mri", "glioma_tumor"], "mri"),
        (["moles", "melanoma", "nevus"], "dermatology"),
        (["疟疾涂片"], "microscopy"),
        (["eyes", "diabetic_retinopathy"], "fundus"),
        (["things", "a", "b"], "other"),
        (["skin biopsy"], "other"),  # two kinds are spoken of: the careful alterations
        (["factory", "detector"], "other"),  # a word counts as a whole
    ],
)
def test_names_tell_the_modality_or_nothing(names: list[str], expected: Modality) -> None:
    assert modality.guess(names) == expected


def test_grey_pictures_are_no_stained_cells() -> None:
    grey = np.repeat(np.random.default_rng(0).normal(size=(20, 64, 1)), 3, axis=2).reshape(20, 192)
    colour = np.random.default_rng(0).normal(size=(20, 192))
    assert modality.held_to_its_pictures("microscopy", grey.astype(np.float32)) == "other"
    assert modality.held_to_its_pictures("microscopy", colour.astype(np.float32)) == "microscopy"
    assert modality.held_to_its_pictures("xray", grey.astype(np.float32)) == "xray"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Every corner another colour, so that a turn or mirror shows; grey beside it as ``grey.png``."""
    values = np.zeros((120, 120, 3), np.uint8)
    values[:60, :60], values[:60, 60:], values[60:, :60] = (200, 60, 60), (60, 200, 60), (60, 60, 200)
    values[60:, 60:] = 90
    Image.fromarray(values).save(tmp_path / "picture.png")
    Image.fromarray(values.mean(axis=2).astype(np.uint8)).convert("RGB").save(tmp_path / "grey.png")
    return tmp_path / "picture.png"


def seen(path: Path, number: int, kind: Modality) -> np.ndarray:
    key = views.key_of(hashlib.sha256(b"x").hexdigest(), number, kind)
    with open_image(path) as image:
        return views.altered(image, SPEC, key)


def ways(path: Path, kind: Modality, count: int = 24) -> set[int]:
    """Which of the eight turns and mirror images the views are most like."""
    with open_image(path) as image:
        plain = prepare(image, SPEC)[0]
    turned = [np.rot90(m, k) for m in (plain, plain[:, ::-1]) for k in range(4)]
    found = set()
    for number in range(1, count + 1):
        view = seen(path, number, kind)[0]
        found.add(int(np.argmax([np.corrcoef(view.ravel(), t.ravel())[0, 1] for t in turned])))
    return found


def test_cells_are_turned_and_mirrored_and_a_chest_never_is(picture: Path) -> None:
    assert len(ways(picture, "microscopy")) >= 6
    for kind in ("xray", "fundus", "other"):
        assert ways(picture, kind) == {0}


def test_grey_stays_grey_where_there_is_no_colour_to_change(picture: Path) -> None:
    for number in range(1, 9):
        view = seen(picture.with_name("grey.png"), number, "xray")
        assert np.ptp(view, axis=3).max() < 0.02


def test_stains_and_tilts_change_the_picture_without_black_corners(picture: Path) -> None:
    usual = seen(picture, 1, "other")
    for kind in ("histology", "xray", "mri"):
        assert np.abs(seen(picture, 1, kind) - usual).mean() > 0.005
    with Image.open(picture) as image:
        Image.new("RGB", image.size, (220, 220, 220)).save(picture.with_name("plain.png"))
    for number in range(1, 9):
        view = seen(picture.with_name("plain.png"), number, "xray")
        assert view.min() > view.max() - 0.1


def test_views_of_before_are_the_same_and_named_the_same() -> None:
    assert views.key_of("a", 1, "other") == "a/1"
    assert len({views.key_of("a", 1, kind) for kind in MODALITIES}) == len(MODALITIES)
    assert not FREEDOM["other"].turned and not FREEDOM["xray"].turned
