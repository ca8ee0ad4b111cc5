from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coordinator.training.novelty import principal
from protocols.errors import ProtocolError
from protocols.imaging import InputSpec
from protocols.novelty import NoveltyStatistics, thumbnail

SPEC = InputSpec(75, (-1.0, 1.0))
CHANCE = np.random.default_rng(5)
PLANE = CHANCE.normal(size=(4, 60))


def on_plane(count: int) -> np.ndarray:
    return (CHANCE.normal(size=(count, 4)) @ PLANE + 0.1 * CHANCE.normal(size=(count, 60)) + 3).astype(np.float32)


def pixels(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, 75, 75, 3)).astype(np.float32)


def statistics() -> NoveltyStatistics:
    thumbnails = np.stack([thumbnail(pixels(n), SPEC) for n in range(40)])
    return NoveltyStatistics(principal(on_plane(200), 4), principal(thumbnails, 6))


def test_what_lies_off_the_plane_leaves_more_over_than_anything_on_it() -> None:
    fitted = principal(on_plane(200), 4)
    off = on_plane(50) + CHANCE.normal(size=(50, 60)).astype(np.float32)
    assert fitted.residual(off).min() > 5 * fitted.residual(on_plane(50)).max()


def test_what_is_read_back_measures_the_same() -> None:
    made = statistics()
    read = NoveltyStatistics.from_bytes(made.to_bytes())
    features = on_plane(1)[0]
    assert read.measure(features, pixels(), SPEC) == made.measure(features, pixels(), SPEC)


def test_the_statistics_of_the_real_trunk_fit_a_thin_line() -> None:
    features = np.random.default_rng(2).normal(size=(100, 1536)).astype(np.float32)
    made = NoveltyStatistics(principal(features, 12), principal(features[:, :192], 6))
    assert len(made.to_bytes()) <= 50_000


def test_layout_does_not_depend_on_brightness_or_contrast() -> None:
    picture, other = (np.kron(pixels(n)[0, :5, :5], np.ones((15, 15, 1), np.float32))[np.newaxis] for n in (1, 2))
    assert thumbnail(picture * 0.5 + 0.2, SPEC) == pytest.approx(thumbnail(picture, SPEC), abs=0.2)
    assert np.abs(thumbnail(other, SPEC) - thumbnail(picture, SPEC)).max() > 1


def test_constant_features_do_not_divide_by_nothing() -> None:
    flat = np.ones((30, 20), np.float32)
    assert np.isfinite(principal(flat, 3).residual(flat)).all()


@pytest.mark.parametrize("cut", [0, 3, 5, 9, 100, -1])
def test_a_cut_file_is_refused(cut: int) -> None:
    with pytest.raises(ProtocolError):
        NoveltyStatistics.from_bytes(statistics().to_bytes()[:cut])


@pytest.mark.parametrize("damage", ["longer", "not a number", "no axes", "magic", "zero scale", "flat axis"])
def test_a_damaged_file_is_refused(damage: str) -> None:
    data = bytearray(statistics().to_bytes())
    match damage:
        case "longer":
            data += b"x"
        case "not a number":
            data[9:11] = b"\x7e\x00"
        case "no axes":
            data[7:9] = b"\x00\x00"
        case "magic":
            data[0] = 0
        case "zero scale":
            data[9 + 120 : 9 + 122] = b"\x00\x00"
        case _:
            data[9 + 240 : 9 + 480] = bytes(240)
    with pytest.raises(ProtocolError):
        NoveltyStatistics.from_bytes(bytes(data))


def test_other_features_than_the_statistics_are_of_are_refused() -> None:
    with pytest.raises(ProtocolError):
        statistics().measure(np.ones(59, np.float32), pixels(), SPEC)


def test_every_random_file_is_refused_or_measures_a_number() -> None:
    whole = statistics().to_bytes()
    for seed in range(300):
        chance = np.random.default_rng(seed)
        data = bytearray(whole)
        for place in chance.integers(5, len(data), 4):
            data[place] = int(chance.integers(0, 256))
        try:
            found = NoveltyStatistics.from_bytes(bytes(data)).measure(on_plane(1)[0], pixels(), SPEC)
        except ProtocolError:
            continue
        assert np.isfinite([found.appearance, found.layout]).all(), seed


def test_residuals_of_training_images_are_about_one() -> None:
    fitted = principal(CHANCE.normal(size=(500, 60)).astype(np.float32), 1)
    assert fitted.residual(CHANCE.normal(size=(100, 60)).astype(np.float32)).mean() == pytest.approx(1, abs=0.1)
    assert replace(fitted, axes=fitted.axes).residual(np.zeros((1, 60), np.float32)) >= 0
