from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from edge_node.capture.keep import MAX_BYTES, Kept, kept_copy
from protocols.imaging import Box, ImageError, InputSpec, open_image, prepare
from tests.edge_node.capture.scenes import scene

SPEC = InputSpec(299, (0.0, 1.0))


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def kept(data: bytes, crop: Box | None = None, spec: InputSpec = SPEC) -> Kept:
    with open_image(data) as image:
        return kept_copy(image, spec, crop)


def seen(data: bytes, crop: Box | None = None) -> np.ndarray:
    with open_image(data) as image:
        return prepare(image, SPEC, crop)


def grain(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_small_picture_is_kept_exactly() -> None:
    original = encoded(scene(Box(30, 30, 80, 80), (240, 200)))
    copy = kept(original)
    assert copy.suffix == ".webp"
    assert np.array_equal(seen(copy.data), seen(original))


def test_a_photograph_is_kept_at_the_models_resolution_and_looks_the_same_to_it() -> None:
    original = encoded(scene(Box(900, 300, 900, 800), (2400, 1800)), "JPEG", quality=95)
    copy = kept(original)
    assert copy.suffix == ".jpg"
    assert len(copy.data) <= MAX_BYTES
    with Image.open(io.BytesIO(copy.data)) as image:
        assert min(image.size) >= SPEC.edge_px
    assert np.abs(seen(copy.data) - seen(original)).mean() < 0.01


@pytest.mark.parametrize(
    ("size", "edge_px"),
    [
        ((300, 300), 299),
        ((1600, 1200), 299),
        ((3000, 300), 299),
        ((40, 2500), 299),
        ((1500, 1500), 1024),
        ((17, 5000), 32),
    ],
)
def test_even_grain_fits(size: tuple[int, int], edge_px: int) -> None:
    copy = kept(encoded(grain(*size)), spec=InputSpec(edge_px, (0.0, 1.0)))
    assert len(copy.data) <= MAX_BYTES
    with Image.open(io.BytesIO(copy.data)) as image:
        assert min(image.size) >= min(edge_px, *size)


def test_forty_megapixels_fit() -> None:
    coarse = np.random.default_rng(2).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((7296, 5472), Image.Resampling.NEAREST)
    copy = kept(encoded(picture, "JPEG", quality=60))
    assert len(copy.data) <= MAX_BYTES


@pytest.mark.parametrize("size", [(240, 200), (1600, 1200)])
def test_nothing_but_pixels_is_kept(size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "SECRET-NAME"
    exif[ExifTags.Base.Orientation] = 6
    picture = scene(Box(30, 30, 100, 80), size)
    data = encoded(picture, "JPEG", exif=exif, comment=b"SECRET-NAME", icc_profile=b"SECRET-NAME" * 20)
    copy = kept(data).data
    assert b"SECRET" in data
    assert b"SECRET" not in copy
    with Image.open(io.BytesIO(copy)) as image:
        assert not image.getexif()
        assert not {"icc_profile", "comment", "exif", "xmp"} & set(image.info)
        assert (image.width > image.height) is not (size[0] > size[1])  # it stands upright by itself


def test_the_crop_is_kept_and_no_more() -> None:
    box = Box(700, 200, 600, 500)
    data = encoded(scene(box, (1600, 1200)), "JPEG", quality=95)
    assert np.abs(seen(kept(data, box).data) - seen(data, box)).mean() < 0.01


def test_the_same_picture_gives_the_same_bytes() -> None:
    data = encoded(scene(Box(100, 100, 300, 300), (900, 700)))
    assert kept(data) == kept(data)


def test_a_crop_outside_or_too_small_is_refused() -> None:
    data = encoded(scene(Box(0, 0, 50, 50), (200, 100)))
    for box, code in ((Box(150, 0, 60, 60), "image.crop_outside"), (Box(0, 0, 10, 60), "image.too_small")):
        with pytest.raises(ImageError) as caught:
            kept(data, box)
        assert caught.value.code == code


def test_a_broken_picture_is_refused() -> None:
    data = encoded(scene(Box(0, 0, 50, 50), (400, 300)), "JPEG")
    with pytest.raises(ImageError):
        kept(data[: len(data) // 2])
