from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from edge_node.recognition.overlay import AGAINST, FOR, MAX_EDGE_PX, as_seen, draw, smooth, tint
from edge_node.recognition.picture import Picture
from protocols.imaging import TURNS, Box, ImageError

FLAT = np.zeros((4, 4), np.float32)


def spot(row: int, column: int, side: int = 4, value: float = 1.0) -> np.ndarray:
    heat = np.zeros((side, side), np.float32)
    heat[row, column] = value
    return heat


def picture(path: Path, size: tuple[int, int] = (80, 60), **options: object) -> Path:
    """Four plain quarters: black, red, green, white from left to right and top to bottom."""
    width, height = size
    image = Image.new("RGB", size)
    image.paste((200, 0, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 200, 0), (0, height // 2, width // 2, height))
    image.paste((255, 255, 255), (width // 2, height // 2, width, height))
    image.save(path, **options)
    return path


def test_no_evidence_draws_nothing(tmp_path: Path) -> None:
    path = picture(tmp_path / "photo.png")
    drawn = Image.open(io.BytesIO(draw(Picture(path), FLAT, 32)))
    assert (np.asarray(drawn) == np.asarray(Image.open(path))).all()


def test_evidence_is_drawn_where_it_lies() -> None:
    layer = np.asarray(tint(spot(0, 3), 32, (80, 40)))
    peak = np.unravel_index(layer[..., 3].argmax(), layer.shape[:2])
    assert peak[0] == pytest.approx(5, abs=5) and peak[1] == pytest.approx(70, abs=10)
    assert not layer[20:, :40, 3].any()


def test_colours_tell_for_from_against_and_leave_the_picture_visible() -> None:
    heat = spot(0, 0) - spot(3, 3)
    layer = np.asarray(tint(heat, 32, (40, 40)))
    assert tuple(layer[3, 3, :3]) == FOR and tuple(layer[36, 36, :3]) == AGAINST
    assert 100 < layer[..., 3].max() < 200


def test_what_is_fainter_than_a_tenth_is_not_drawn() -> None:
    assert not np.asarray(tint(np.full((4, 4), 0.09, np.float32), 32, (40, 40)))[..., 3].any()


def test_cells_are_drawn_where_inception_sees_them() -> None:
    values = smooth(spot(16, 0, 17), 299, (299, 299))
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert values.shape == (299, 299) and row >= 270 and column <= 28  # the outermost cells reach to the borders
    inner = smooth(spot(8, 1, 17), 299, (299, 299))
    assert np.unravel_index(inner.argmax(), inner.shape) == (149, 37)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(32, 1024), st.integers(1, 90), st.integers(1, 90))
def test_any_grid_can_be_drawn_out_to_any_size(rows: int, columns: int, edge_px: int, width: int, height: int) -> None:
    heat = np.random.default_rng(rows).uniform(-1, 1, (rows, columns)).astype(np.float32)
    values = smooth(heat, edge_px, (width, height))
    assert values.shape == (height, width) and np.isfinite(values).all() and np.abs(values).max() <= 1


def test_the_crop_is_drawn_undistorted_and_no_larger_than_it_is(tmp_path: Path) -> None:
    seen = as_seen(Picture(picture(tmp_path / "photo.png"), Box(40, 0, 40, 30)))
    assert seen.size == (40, 30)
    assert (np.asarray(seen) == (200, 0, 0)).all()


@pytest.mark.parametrize("crop", [None, Box(1000, 0, 2000, 1500)])
def test_a_large_photo_is_scaled_to_the_limit(tmp_path: Path, crop: Box | None) -> None:
    path = picture(tmp_path / "photo.jpg", (4000, 3000), quality=80)
    seen = as_seen(Picture(path, crop))
    assert seen.size == (MAX_EDGE_PX, MAX_EDGE_PX * 3 // 4)
    if crop is None:
        assert np.asarray(seen)[100, 900] == pytest.approx((200, 0, 0), abs=6)
    else:
        assert np.asarray(seen)[700, 100] == pytest.approx((0, 0, 0), abs=6)
        assert np.asarray(seen)[700, 900] == pytest.approx((200, 0, 0), abs=6)


@pytest.mark.parametrize("turn", sorted(TURNS))
def test_the_picture_stands_upright_and_its_crop_is_a_persons(tmp_path: Path, turn: int) -> None:
    upright = Image.open(picture(tmp_path / "upright.png", (120, 80))).copy()
    inverse = next(t for t in Image.Transpose if upright.transpose(t).transpose(TURNS[turn]) == upright)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    stored = tmp_path / "stored.png"
    upright.transpose(inverse).save(stored, exif=exif)
    assert as_seen(Picture(stored)) == upright
    assert as_seen(Picture(stored, Box(60, 0, 60, 40))) == upright.crop((60, 0, 120, 40))


def test_the_drawing_carries_pixels_and_nothing_else(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "patient's name"
    exif[ExifTags.Base.Orientation] = 6
    options = {"exif": exif, "icc_profile": b"profile", "comment": b"room 3", "dpi": (72, 72)}
    path = picture(tmp_path / "photo.jpg", (90, 60), **options)
    data = draw(Picture(path), spot(1, 1), 32)
    drawn = Image.open(io.BytesIO(data))
    drawn.load()
    assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGB", (60, 90))
    assert drawn.info == {} and not drawn.getexif() and b"patient" not in data


def test_a_broken_picture_is_named_as_such(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    path = tmp_path / "cut.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError) as caught:
        as_seen(Picture(path))
    assert caught.value.code == "image.unreadable"
