"""DICOM files as pictures: transforms, refusals, and that nothing of the header gets out."""

from __future__ import annotations

import builtins
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from protocols import dicom
from protocols.dicom import is_dicom, read_dicom
from protocols.errors import Language
from protocols.imaging import ImageError
from protocols.pictures import open_picture
from tests.conftest import data_folder
from tests.support.dicom import SECRETS, dicom_file, grey

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def row(path: Path, frame: int | None = None) -> NDArray[np.uint8]:
    """The first row's red levels."""
    with open_picture(path, frame) as image:
        assert image.mode == "RGB"
        return np.asarray(image)[0, :, 0]


def refused(path: Path, frame: int | None = None) -> ImageError:
    with pytest.raises(ImageError) as refusal, open_picture(path, frame):
        pass
    for language in LANGUAGES:
        text = refusal.value.message(language) + refusal.value.remedy(language)
        assert not any(secret in text for secret in SECRETS)
    assert refusal.value.__cause__ is None or refusal.value.code in ("image.dicom_missing", "image.dicom_no_meta")
    return refusal.value


def test_the_name_of_a_file_says_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    assert not is_dicom(tmp_path / "a.dcm") and row(tmp_path / "a.dcm")[0] == 9
    assert is_dicom(dicom_file(tmp_path / "b.jpg")) and row(tmp_path / "b.jpg")[-1] == 255


def test_deep_grey_levels_without_a_window_are_spread(tmp_path: Path) -> None:
    levels = row(dicom_file(tmp_path / "a"))
    assert levels[0] == 0 and levels[-1] == 255 and np.all(np.diff(levels.astype(int)) >= 0)


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    levels = row(dicom_file(tmp_path / "a", interpretation="MONOCHROME1"))
    assert levels[0] == 255 and levels[-1] == 0


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    pixels = np.tile(np.arange(60, 120, dtype=np.uint8), (40, 1))
    assert list(row(dicom_file(tmp_path / "a", pixels))) == list(range(60, 120))


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("LINEAR", lambda x: (x - 1499.5) / 2999 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 1500) / 3000 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1500) / 3000))),
    ],
)
def test_rescaled_values_are_shown_through_the_first_window(tmp_path: Path, function: str, wanted: Any) -> None:
    window = {"WindowCenter": [1500, 40], "WindowWidth": [3000, 80], "VOILUTFunction": function}
    found = row(dicom_file(tmp_path / "a", RescaleSlope=0.5, RescaleIntercept=200, **window))
    expected = np.rint(np.clip(wanted(grey()[0].astype(float) * 0.5 + 200), 0, 1) * 255)
    assert np.abs(found - expected).max() <= 1
    assert found[0] > 0 and found[-1] < 255, "the window is wider than the picture, and is kept"


def test_a_table_of_levels_is_looked_up(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4001, 0, 12]
    table.LUTData = np.linspace(4095, 0, 4001).astype(np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    found = row(dicom_file(tmp_path / "a", VOILUTSequence=[table]))
    assert found[0] == 255 and found[-1] == 0


def test_a_palette_is_applied(tmp_path: Path) -> None:
    tables: dict[str, Any] = {}
    for name, most in (("Red", 65535), ("Green", 32768), ("Blue", 0)):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = np.linspace(0, most, 256).astype(np.uint16).tobytes()
    pixels = np.full((40, 60), 255, np.uint8)
    with open_picture(dicom_file(tmp_path / "a", pixels, "PALETTE COLOR", **tables)) as image:
        assert image.getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_colours_of_any_depth(tmp_path: Path, dtype: Any) -> None:
    pixels = np.zeros((40, 60, 3), dtype)
    pixels[..., 0] = np.iinfo(dtype).max
    with open_picture(dicom_file(tmp_path / "a", pixels, "RGB")) as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    pixels = np.tile(np.array([76, 85, 255], np.uint8), (40, 60, 1))  # red, by ITU-R BT.601
    with open_picture(dicom_file(tmp_path / "a", pixels, "YBR_FULL")) as image:
        assert np.abs(np.asarray(image)[0, 0].astype(int) - (255, 0, 0)).max() <= 2


def test_of_several_frames_one_has_to_be_asked_for(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "a", np.stack([grey(most=n) for n in (0, 4000)]), WindowCenter=2000, WindowWidth=4000)
    assert refused(path).code == "image.several_frames"
    assert row(path, 1)[-1] == 0 and row(path, 2)[-1] == 255
    assert refused(path, 3).details == {"frame": 3, "frames": 2}


def test_frames_of_other_files_can_be_asked_for_too(tmp_path: Path) -> None:
    first, second = (Image.new("L", (40, 40), level) for level in (10, 200))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with open_picture(tmp_path / "a.tif", 2) as image:
        assert image.getpixel((0, 0)) == 200
    assert refused(tmp_path / "a.tif").code == "image.several_frames"
    assert refused(tmp_path / "a.tif", 3).code == "image.frame_absent"


def test_what_holds_no_picture_is_refused_with_the_reason(tmp_path: Path) -> None:
    structures = dicom_file(tmp_path / "s", sop_class="1.2.840.10008.5.1.4.1.1.481.3", PixelData=None)
    assert refused(structures).details == {"kind": "RTSTRUCT"}
    segments = dicom_file(tmp_path / "g", np.zeros((40, 60), np.uint8), sop_class="1.2.840.10008.5.1.4.1.1.66.4")
    assert refused(segments).details == {"kind": "SEG"}
    assert refused(dicom_file(tmp_path / "n", PixelData=None)).code == "image.dicom_no_pixels"
    assert refused(dicom_file(tmp_path / "m", np.zeros((40, 5), np.uint8), BitsAllocated=1)).code == "image.mask"
    assert refused(dicom_file(tmp_path / "t", grey(8, 8))).code == "image.too_small"
    large = dicom_file(tmp_path / "l", Rows=60_000, Columns=60_000)
    assert refused(large).code == "image.too_large"


def test_a_file_without_its_head_is_refused(tmp_path: Path) -> None:
    whole = dicom_file(tmp_path / "a").read_bytes()
    start = whole.index(b"\x08\x00\x16\x00UI")
    (tmp_path / "b").write_bytes(whole[start:])
    assert refused(tmp_path / "b").code == "image.dicom_no_meta"


@pytest.mark.parametrize("kept", [140, 300, 700, 3000])
def test_a_truncated_file_is_refused_without_a_word_of_its_header(
    tmp_path: Path, kept: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = dicom_file(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:kept])
    caplog.set_level(logging.DEBUG)
    assert refused(path).code in ("image.dicom_unreadable", "image.dicom_no_pixels")
    said = caplog.text + "".join(capfd.readouterr())
    assert not any(secret in said for secret in SECRETS)


def test_nothing_of_the_header_is_in_the_picture(tmp_path: Path) -> None:
    image = read_dicom(dicom_file(tmp_path / "a", WindowCenter=2000, WindowWidth=4000))
    assert image.info == {}
    image.save(tmp_path / "a.png")
    assert not any(secret.encode() in (tmp_path / "a.png").read_bytes() for secret in SECRETS)


def test_names_are_not_even_read() -> None:
    assert not any(keyword.startswith(("Patient", "Study", "Institution")) for keyword in dicom._WANTED)


def test_without_the_reader_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dicom_file(tmp_path / "a")
    original = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] == "pydicom":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    refusal = refused(path)
    assert refusal.code == "image.dicom_missing" and "medmesh[dicom]" in refusal.remedy("zh")


_ODD = {
    "dcm_693_J2KI.dcm": None,
    "dcm_GDCMJ2K_TextGBR.dcm": None,
    "dcm_J2K_pixelrep_mismatch.dcm": None,
    "dcm_MR_small_bigendian.dcm": None,
    "dcm_MR_small_implicit.dcm": None,
    "dcm_SC_rgb_jpeg_gdcm.dcm": None,
    "dcm_SC_rgb_rle_32bit_2frame.dcm": "image.several_frames",
    "dcm_SC_rgb_small_odd.dcm": "image.too_small",
    "dcm_SC_ybr_full_422_uncompressed.dcm": None,
    "dcm_examples_palette.dcm": None,
    "dcm_image_dfl.dcm": None,
    "dcm_liver_1frame.dcm": "image.dicom_not_picture",
    "dcm_monochrome1_noext": None,
    "dcm_no_meta.dcm": "image.dicom_no_meta",
    "dcm_rtdose.dcm": "image.dicom_not_picture",
    "dcm_rtstruct.dcm": "image.dicom_no_meta",
}


@pytest.mark.data
@pytest.mark.parametrize("name", _ODD)
def test_troublesome_files_from_the_field(name: str) -> None:
    pytest.importorskip("pydicom", reason="the dicom extra is not installed")
    path, wanted = data_folder("odd") / name, _ODD[name]
    if wanted is not None:
        assert refused(path).code == wanted
        return
    levels = row(path)
    with open_picture(path) as image:
        assert np.ptp(np.asarray(image)) > 20, "not one flat colour"
    assert levels.dtype == np.uint8


@pytest.mark.data
def test_both_frames_of_a_compressed_file_are_found() -> None:
    pytest.importorskip("pydicom", reason="the dicom extra is not installed")
    path = data_folder("odd") / "dcm_SC_rgb_rle_32bit_2frame.dcm"
    with open_picture(path, 1) as first, open_picture(path, 2) as second:
        assert np.any(np.asarray(first) != np.asarray(second))
