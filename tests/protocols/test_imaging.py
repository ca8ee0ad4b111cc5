from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from protocols.imaging import Box, ImageError, InputSpec, measure_quality, open_image, prepare

SPEC = InputSpec(64, (0.0, 1.0))


def jpeg(picture: Image.Image, orientation: int = 1, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(buffer, "JPEG", quality=quality, exif=exif, subsampling=0)
    return buffer.getvalue()


def scene(width: int, height: int) -> Image.Image:
    """A smooth picture without any symmetry, so that every turn and crop mistake shows."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red, green, blue = x, y * 0.8, 0.5 + 0.5 * np.sin(6 * x + 3 * y * y)
    picture = Image.fromarray((np.stack([red, green, blue], axis=2) * 255).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((width * 0.1, height * 0.15, width * 0.35, height * 0.3), fill=(250, 20, 40))
    return picture


STORED = {  # how a picture must be stored so that this EXIF orientation shows it upright
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("crop", [None, Box(130, 40, 400, 260), Box(500, 300, 90, 90)])
def test_orientation_and_crop_give_what_a_person_sees(orientation: int, crop: Box | None) -> None:
    upright = scene(800, 500)
    turn = STORED[orientation]
    stored = jpeg(upright if turn is None else upright.transpose(turn), orientation)
    box = (crop.x, crop.y, crop.x + crop.width, crop.y + crop.height) if crop else None
    expected = np.asarray(upright.resize((64, 64), Image.Resampling.LANCZOS, box=box), np.float32) / 255
    with open_image(stored) as image:
        got = prepare(image, SPEC, crop)
    assert got.shape == (1, 64, 64, 3) and got.dtype == np.float32
    assert float(np.abs(got[0] - expected).mean()) < 0.01


def test_draft_decoding_of_a_large_jpeg_stays_close_to_full_decoding() -> None:
    large = jpeg(scene(3000, 2000))
    with open_image(large) as image:
        quick = prepare(image, SPEC)
        assert image.size[0] < 3000, "the JPEG was decoded at full size"
    with open_image(large) as image:
        image.load()
        slow = prepare(image, SPEC)
    assert float(np.abs(quick - slow).mean()) * 255 < 1.0


def test_small_crop_of_a_large_jpeg_is_decoded_at_full_size() -> None:
    with open_image(jpeg(scene(3000, 2000))) as image:
        prepare(image, SPEC, Box(1000, 900, 100, 100))
        assert image.size == (3000, 2000)


def test_value_range_is_that_of_the_backbone() -> None:
    white = Image.new("RGB", (64, 64), "white")
    assert prepare(white, InputSpec(64, (-1.0, 1.0))).max() == pytest.approx(1.0)
    assert prepare(Image.new("RGB", (64, 64)), InputSpec(64, (-1.0, 1.0))).min() == pytest.approx(-1.0)


def test_sixteen_bit_grey_is_windowed_not_clipped() -> None:
    ramp = np.linspace(0, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    with open_image(buffer.getvalue()) as image:
        got = prepare(image, SPEC)
    assert 0.4 < float(got.mean()) < 0.6


def test_transparency_is_composed_on_black() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    assert prepare(clear, SPEC).max() == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image.unreadable"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image.unreadable"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image.unreadable"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "image.unreadable"),
    ],
)
def test_what_is_no_picture_is_refused_by_content(data: bytes, code: str) -> None:
    with pytest.raises(ImageError) as caught, open_image(data):
        pass
    assert caught.value.code == code


def test_truncated_jpeg_is_refused_when_decoded() -> None:
    data = jpeg(scene(800, 500))[:9000]
    with pytest.raises(ImageError) as caught, open_image(data) as image:
        prepare(image, SPEC)
    assert caught.value.code == "image.unreadable"


def test_decompression_bomb_is_refused_by_its_header() -> None:
    buffer = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(buffer, "PNG")
    with pytest.raises(ImageError) as caught, open_image(buffer.getvalue()):
        pass
    assert caught.value.code == "image.too_large"


def test_animation_needs_a_word_about_the_frame() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError) as caught, open_image(buffer.getvalue()):
        pass
    assert caught.value.code == "image.several_frames"
    with open_image(buffer.getvalue(), first_frame=True) as image:
        assert prepare(image, SPEC).shape == (1, 64, 64, 3)


def test_crop_outside_and_too_small_are_refused() -> None:
    with pytest.raises(ImageError) as caught:
        prepare(scene(100, 100), SPEC, Box(50, 50, 60, 20))
    assert caught.value.code == "image.crop_outside"
    with pytest.raises(ImageError) as caught:
        prepare(scene(100, 100), SPEC, Box(50, 50, 8, 20))
    assert caught.value.code == "image.too_small"


def test_blur_lowers_sharpness_and_darkness_lowers_exposure() -> None:
    from PIL import ImageFilter

    blocks = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    sharp = Image.fromarray(blocks).resize((400, 400), Image.Resampling.NEAREST)
    blurred, dark = sharp.filter(ImageFilter.GaussianBlur(12)), sharp.point(lambda v: v // 8)
    q = {n: measure_quality(prepare(p, SPEC), SPEC) for n, p in (("s", sharp), ("b", blurred), ("d", dark))}
    assert q["b"].sharpness < q["s"].sharpness / 2
    assert q["d"].exposure < q["s"].exposure / 4
