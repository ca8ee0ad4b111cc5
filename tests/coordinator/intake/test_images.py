"""Each kind of image file: taken as it should be, or rejected with the reason."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from coordinator.intake import images
from coordinator.intake.images import Checked, Wanted, check, kept_copy
from coordinator.intake.limits import Limits
from protocols.imaging import InputSpec, open_image, prepare
from tests.support.bombs import chunk, huge_png
from tests.support.dicom import dicom_file
from tests.support.pictures import noise, png

GREY16 = np.tile(np.linspace(0, 5000, 64).astype(np.uint16), (64, 1))


def saved(picture: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def texts(count: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    for number in range(count):
        info.add_text(f"t{number}", "x" * 1_000_000, zip=True)
    return saved(noise(1), "PNG", pnginfo=info)


def deep_png(mode_type: int, channels: int) -> bytes:
    """A 16-bit PNG of several channels, which Pillow cannot write."""
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 65_535, (64, 64 * channels), dtype=np.uint16).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in raw)
    header = struct.pack(">LLBBBBB", 64, 64, 16, mode_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def animated(format_: str) -> bytes:
    return saved(noise(1), format_, save_all=True, append_images=[noise(2), noise(3)])


PNG, JPEG = png(noise(1)), saved(noise(1), "JPEG")
OTHER = "image.other_content"
REJECTED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', OTHER, "SVG"),
    "svg after a declaration": (lambda: b'<?xml version="1.0"?><svg/>', OTHER, "XML"),
    "html": (lambda: b"\n<!DOCTYPE html><html></html>", OTHER, "HTML"),
    "pdf": (lambda: b"%PDF-1.7\n\x80", OTHER, "PDF"),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", OTHER, "PostScript"),
    "text": (lambda: b"hello", OTHER, "text"),
    "git lfs pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", OTHER, "Git LFS"),
    "empty": (lambda: b"", OTHER, "empty"),
    "heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image.heic", "HEIC"),
    "noise": (lambda: np.random.default_rng(0).bytes(500), "image.unreadable", "damaged"),
    "truncated jpeg": (lambda: JPEG[: len(JPEG) // 2], "image.unreadable", "damaged"),
    "corrupt png": (lambda: PNG[:300] + bytes([PNG[300] ^ 0xFF]) + PNG[301:], "image.unreadable", "damaged"),
    "png without its end": (lambda: PNG[:-12], "image.unreadable", "damaged"),
    "png with a damaged checksum": (lambda: PNG[:-17] + b"\0" + PNG[-16:], "image.unreadable", "damaged"),
    "13,000 x 13,000": (huge_png, "image.too_large", "169"),
    "one text too large": (lambda: texts(9), "image.much_metadata", "8000 kB"),
    "1-bit mask": (lambda: saved(noise(1).convert("1"), "PNG"), "image.mask", "mask"),
    "animated gif": (lambda: animated("GIF"), "image.several_frames", "3"),
    "animated webp": (lambda: animated("WEBP"), "image.several_frames", "3"),
    "several pages": (lambda: animated("TIFF"), "image.several_frames", "3"),
    "15 px": (lambda: png(noise(1, 15)), "image.too_small", "15 x 15"),
    "1 x 20000": (lambda: png(Image.new("RGB", (1, 20_000), "red")), "image.too_small", "1 x 20000"),
    "black": (lambda: png(Image.new("RGB", (64, 64))), "image.blank", "0 and 0"),
    "white": (lambda: png(Image.new("L", (64, 64), 255)), "image.blank", "255 and 255"),
    "grey all over": (lambda: png(Image.new("L", (64, 64), 128)), "image.blank", "128 and 128"),
}
TAKEN: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "rgb": (lambda: png(noise(1, 64)), ()),
    "jpeg": (lambda: saved(noise(1, 64), "JPEG"), ()),
    "bmp": (lambda: saved(noise(1, 64), "BMP"), ()),
    "16 bits": (lambda: saved(Image.fromarray(GREY16), "PNG"), ("converted from I;16",)),
    "float": (lambda: saved(Image.fromarray(GREY16.astype(np.float32)), "TIFF"), ("converted from F",)),
    "16 bits a channel": (lambda: deep_png(2, 3), ("reduced from 16 bits",)),
    "16 bits with alpha": (lambda: deep_png(6, 4), ("converted from RGBA", "reduced from 16 bits")),
    "cmyk": (lambda: saved(noise(1, 64).convert("CMYK"), "JPEG"), ("converted from CMYK",)),
    "palette": (lambda: saved(noise(1, 64).convert("P"), "PNG"), ("converted from P",)),
    "alpha": (lambda: saved(noise(1, 64).convert("RGBA"), "PNG"), ("converted from RGBA",)),
    "small": (lambda: png(noise(1, 16)), ("small",)),
}


def checked(tmp_path: Path, data: bytes, **options: object) -> Checked:
    path = tmp_path / "picture"
    path.write_bytes(data)
    return check(Wanted(path, tmp_path / "kept", **{"min_edge_px": 16, "first_frame": False, **options}))  # type: ignore[arg-type]


@pytest.mark.parametrize("row", REJECTED)
def test_rejected_with_the_reason(tmp_path: Path, row: str) -> None:
    build, code, word = REJECTED[row]
    result = checked(tmp_path, data := build())
    assert (result.code, word in result.reason["en"]) == (code, True), result.reason
    assert result.reason["zh"] and result.source == hashlib.sha256(data).hexdigest()
    assert not list((tmp_path).glob("kept/*/*"))


@pytest.mark.parametrize("row", TAKEN)
def test_taken_with_a_note(tmp_path: Path, row: str) -> None:
    build, notes = TAKEN[row]
    result = checked(tmp_path, build())
    assert (result.code, result.notes) == ("", notes)
    with Image.open(tmp_path / "kept" / result.sha256[:2] / result.sha256) as kept:
        assert kept.format == "PNG" and kept.mode in ("RGB", "L")


def test_deep_grey_levels_are_windowed_not_clipped(tmp_path: Path) -> None:
    result = checked(tmp_path, saved(Image.fromarray(GREY16), "PNG"))
    with Image.open(tmp_path / "kept" / result.sha256[:2] / result.sha256) as kept:
        row = np.asarray(kept)[32].astype(int)
    assert row[0] < 5 and row[-1] > 250 and np.abs(np.diff(row)).max() < 10, "a ramp stays a ramp"


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "TIFF"])
def test_first_frame_on_request(tmp_path: Path, format_: str) -> None:
    assert checked(tmp_path, animated(format_), first_frame=True).code == ""


def test_limits_of_the_settings(tmp_path: Path) -> None:
    assert checked(tmp_path, png(noise(1, 1100)), limits=Limits(max_megapixels=1)).code == "image.too_large"
    assert checked(tmp_path, png(noise(1, 20)), min_edge_px=32).code == "image.too_small"
    for wrong in ({"max_megapixels": 41}, {"max_entries": 0}, {"max_ratio": True}):
        with pytest.raises(ValueError, match=r"max_megapixels|positive"):
            Limits(**wrong)


def test_turned_upright_and_nothing_of_exif_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Zhang San", 6
    exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 20.0), 3: "E", 4: (116.0, 23.0, 29.0)})
    data = saved(noise(5, 120).crop((0, 0, 120, 80)), "JPEG", exif=exif, comment=b"Ward 7")
    result = checked(tmp_path, data, originals=tmp_path / "originals")
    assert result.facts is not None
    assert (result.facts.width, result.facts.height, result.notes, result.turn) == (80, 120, ("turned upright",), 6)
    kept = (tmp_path / "kept" / result.sha256[:2] / result.sha256).read_bytes()
    original = (tmp_path / "originals" / result.original[:2] / result.original).read_bytes()
    for stored in (kept, original):
        assert not any(word in stored for word in (b"Zhang", b"Ward 7", b"Exif", b"GPS"))
        with Image.open(io.BytesIO(stored)) as picture:
            assert not picture.getexif()
    with Image.open(io.BytesIO(original)) as bare, Image.open(io.BytesIO(data)) as given:
        assert np.array_equal(np.asarray(bare), np.asarray(given)), "the coefficients are as they were"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 30}])
def test_original_jpeg_ends_with_its_picture(tmp_path: Path, options: dict) -> None:
    data = saved(noise(7, 80), "JPEG", **options) + b"film of Zhang San"
    result = checked(tmp_path, data, originals=tmp_path / "originals")
    original = (tmp_path / "originals" / result.original[:2] / result.original).read_bytes()
    assert b"Zhang" not in original
    with Image.open(io.BytesIO(original)) as bare, Image.open(io.BytesIO(data)) as given:
        assert np.array_equal(np.asarray(bare), np.asarray(given))


def test_original_of_another_format_loses_its_texts(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", "Zhang San")
    for data in (
        saved(Image.fromarray(GREY16), "PNG", pnginfo=info),
        saved(Image.fromarray(GREY16.astype(np.float32)), "TIFF", description="Zhang San"),
    ):
        result = checked(tmp_path, data, originals=tmp_path / "originals")
        original = (tmp_path / "originals" / result.original[:2] / result.original).read_bytes()
        assert b"Zhang" in data and b"Zhang" not in original
        with Image.open(io.BytesIO(original)) as bare:
            assert np.array_equal(np.asarray(bare), GREY16)


def test_more_memory_than_allowed_rejects_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def demanding(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "perceptual_hash", demanding)
    assert checked(tmp_path, PNG).code == "image.too_demanding"


SPEC = InputSpec(299, (0.0, 1.0))


@pytest.mark.parametrize(
    ("size", "format_", "identical"),
    [((130, 120), "PNG", True), ((1000, 700), "JPEG", True), ((1500, 1300), "JPEG", True), ((4000, 3000), "JPEG", True),
     ((1800, 700), "PNG", True), ((1300, 1250), "BMP", False)],
)  # fmt: skip
def test_model_input_from_the_kept_copy_is_that_from_the_original(
    size: tuple[int, int], format_: str, identical: bool
) -> None:
    data = saved(noise(3, 300).resize(size), format_)
    inputs = []
    for source in (data, kept_copy(data)):
        with open_image(source) as image:
            inputs.append(prepare(image, SPEC))
    difference = np.abs(inputs[0] - inputs[1]).max() * 255
    assert difference == 0 if identical else difference < 6


def test_evaluation_knows_a_dicom_file_by_the_copy_that_the_import_kept(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "IM0001")
    result = check(Wanted(path, tmp_path / "kept", min_edge_px=16, first_frame=False))
    assert result.code == "" and hashlib.sha256(kept_copy(path)).hexdigest() == result.sha256
