from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordinator.training import novelty, views
from coordinator.training.calibration import quality_limits
from protocols.imaging import InputSpec, Quality, open_image, prepare
from protocols.recognition import quality_faults

SPEC = InputSpec(75, (-1.0, 1.0))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    blocks = np.random.default_rng(1).integers(40, 216, (12, 9, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(blocks).resize((180, 240), Image.Resampling.NEAREST).save(path)
    return path


def view(path: Path, key: str) -> np.ndarray:
    with open_image(path) as image:
        return views.altered(image, SPEC, key)


def test_a_view_is_model_input_and_always_the_same(picture: Path) -> None:
    first = view(picture, "a/1")
    assert first.shape == (1, 75, 75, 3) and first.dtype == np.float32
    assert first.min() >= -1 and first.max() <= 1
    assert (first == view(picture, "a/1")).all()
    assert np.abs(first - view(picture, "a/2")).mean() > 0.01


def test_views_stay_near_the_picture_and_are_never_mirrored(picture: Path) -> None:
    with open_image(picture) as image:
        plain = prepare(image, SPEC)
    for number in range(20):
        seen = view(picture, f"b/{number}")
        mirrored = seen[:, :, ::-1]
        assert np.corrcoef(seen.ravel(), plain.ravel())[0, 1] > np.corrcoef(mirrored.ravel(), plain.ravel())[0, 1]


@pytest.mark.parametrize("size", [(16, 16), (17, 900), (16, 40)])
def test_the_smallest_pictures_have_views_too(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (90, 120, 150)).save(tmp_path / "small.png")
    for number in range(5):
        assert np.isfinite(view(tmp_path / "small.png", f"c/{number}")).all()


def test_degraded_copies_are_caught_by_limits_that_originals_pass(picture: Path) -> None:
    copies = views.degraded_quality((picture, SPEC))
    chance = np.random.default_rng(2)
    originals = [Quality(40 + chance.normal(), 0.5 + 0.02 * chance.normal(), 0.8, 0.0) for _ in range(300)]
    limits = quality_limits(originals, [copies])
    assert sum(bool(quality_faults(q, limits)) for q in originals) <= 6
    assert quality_faults(copies["blurred"], limits) == ("blurred",)
    assert "underexposed" in quality_faults(copies["dark"], limits)
    assert "underexposed" in quality_faults(copies["dark gamma"], limits)
    assert "overexposed" in quality_faults(copies["bright"], limits)
    assert "overexposed" in quality_faults(copies["washed out"], limits)


def test_limits_lean_towards_the_originals_and_never_beyond_the_copies() -> None:
    originals = [Quality(s, 0.5, 0.8, 0.0) for s in np.linspace(30, 50, 200)]
    blurred = {name: Quality(10.0, 0.5, 0.8, 0.0) for name in views.DEGRADED}
    assert 10 < quality_limits(originals, [blurred]).sharpness_min == pytest.approx(25, abs=0.5)
    sharp = {name: Quality(60.0, 0.5, 0.8, 0.0) for name in views.DEGRADED}
    assert quality_limits(originals, [sharp]).sharpness_min == pytest.approx(30, abs=0.5)


def images(count: int, spread: float = 1.0, seed: int = 0) -> novelty.Views:
    chance = np.random.default_rng(seed)
    plane = np.random.default_rng(9).normal(size=(5, 80))
    features = chance.normal(size=(count, 5)) @ plane + 0.3 * spread * chance.normal(size=(count, 80))
    return novelty.Views(features.astype(np.float32), chance.normal(size=(count, 192)).astype(np.float32))


def test_nearly_all_unseen_images_are_familiar_and_strange_ones_are_not() -> None:
    known = images(600)
    found = novelty.limits(known, images(600, 2.0, 1).features, np.arange(600), np.arange(600) % 5)
    fitted = novelty.fit(known)
    assert (fitted.appearance.residual(images(1000, seed=2).features) > found.familiar).mean() < 0.06
    assert (fitted.appearance.residual(images(200, 6.0, 3).features) > found.foreign).mean() > 0.95
    assert found.familiar < found.foreign


def test_without_views_the_foreign_limit_still_lies_beyond_the_familiar_one() -> None:
    none = np.zeros((0, 80), np.float32)
    found = novelty.limits(images(60), none, np.zeros(0, np.int64), np.arange(60) % 3)
    assert found.foreign == pytest.approx(1.5 * found.familiar)


def test_ten_images_are_enough_to_fit_and_leave_finite_limits() -> None:
    found = novelty.limits(images(10), images(10, 2.0).features, np.arange(10), np.arange(10) % 2)
    assert all(np.isfinite(x) and x > 0 for x in (found.familiar, found.foreign, found.layout))
