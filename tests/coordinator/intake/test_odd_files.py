"""Troublesome files from the world, one by one: ``odd/MANIFEST.tsv`` says what each is."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordinator.intake.cleaning import clean
from coordinator.intake.images import Checked, Wanted, check
from coordinator.intake.source import arrange
from tests.conftest import data_folder

pytestmark = pytest.mark.data

# code, doubt, notes; DICOM is shown as RGB or grey, so that it has no notes of its own.
EXPECTED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "png16_rgba_cxr.png": ("", "", ("converted from RGBA", "reduced from 16 bits")),
    "png1bit_mask.png": ("image.mask", "", ()),
    "tiff_float.tif": ("image.blank", "", ()),  # it holds nothing but zeros
    "png_palette.png": ("", "", ("converted from P",)),
    "jpeg_named_png.png": ("", "", ()),
    "gif_animated.gif": ("image.several_frames", "", ()),
    "photo.jfif": ("", "", ()),
    "us_palette8.bmp": ("", "", ()),
    "conflict_benign_433.png": ("", "", ()),
    "conflict_malignant_145.png": ("", "", ()),
    "dcm_J2K_pixelrep_mismatch.dcm": ("", "", ()),
    "dcm_693_J2KI.dcm": ("", "", ()),
    "dcm_MR_small_bigendian.dcm": ("", "", ()),
    "dcm_MR_small_implicit.dcm": ("", "", ()),
    "dcm_SC_rgb_jpeg_gdcm.dcm": ("", "secondary_capture", ()),
    "dcm_SC_rgb_rle_32bit_2frame.dcm": ("image.several_frames", "", ()),
    "dcm_SC_ybr_full_422_uncompressed.dcm": ("", "secondary_capture", ()),
    "dcm_GDCMJ2K_TextGBR.dcm": ("", "secondary_capture", ()),
    "dcm_examples_palette.dcm": ("", "ultrasound", ()),
    "dcm_image_dfl.dcm": ("", "secondary_capture", ()),
    "dcm_liver_1frame.dcm": ("image.dicom_not_picture", "", ()),
    "dcm_rtdose.dcm": ("image.dicom_not_picture", "", ()),
    "dcm_no_meta.dcm": ("image.dicom_no_meta", "", ()),
    "dcm_rtstruct.dcm": ("image.dicom_no_meta", "", ()),  # without preamble; it has no pixels either
    "dcm_SC_rgb_small_odd.dcm": ("image.too_small", "", ()),
    "dcm_monochrome1_noext": ("", "", ()),
}
NO_IMAGE = "DS_Store_in_split_folder.DS_Store"


def checked(path: Path, kept: Path, first_frame: bool = False) -> Checked:
    return check(Wanted(path, kept, 16, first_frame))


def picture(result: Checked, kept: Path) -> np.ndarray:
    with Image.open(kept / result.sha256[:2] / result.sha256) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_table_is_the_manifest() -> None:
    with (data_folder("odd") / "MANIFEST.tsv").open(encoding="utf-8") as file:
        assert {row["file"] for row in csv.DictReader(file, delimiter="\t")} == {*EXPECTED, NO_IMAGE}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_file(tmp_path: Path, name: str) -> None:
    result = checked(data_folder("odd") / name, tmp_path / "kept")
    notes = tuple(n for n in result.notes if n != "small")
    assert (result.code, result.doubt, notes) == EXPECTED[name], result.reason
    if not result.code:
        pixels = picture(result, tmp_path / "kept")
        assert np.ptp(pixels) > 40, "it shows something"
        if name == "png16_rgba_cxr.png" or (name.startswith("dcm") and name != "dcm_image_dfl.dcm"):
            assert (pixels >= 254).mean() < 0.5, "deep levels are not clipped to white"


def test_frames_on_request(tmp_path: Path) -> None:
    for name in ("gif_animated.gif", "dcm_SC_rgb_rle_32bit_2frame.dcm"):
        assert checked(data_folder("odd") / name, tmp_path, first_frame=True).code == ""


def test_byte_orders_and_syntaxes_of_one_picture_agree(tmp_path: Path) -> None:
    folder = data_folder("odd")
    pair = [picture(checked(folder / f"dcm_MR_small_{n}.dcm", tmp_path), tmp_path) for n in ("bigendian", "implicit")]
    assert np.array_equal(*pair)


def test_as_a_set_with_its_names_conflict_and_hidden_file(tmp_path: Path) -> None:
    folder, source = tmp_path / "set", data_folder("odd")
    names = {
        "benign/benign (433).png": "conflict_benign_433.png",
        "malignant/malignant (145).png": "conflict_malignant_145.png",
    }
    names |= {"benign/photo.jfif": "photo.jfif", "malignant/cell.png": "jpeg_named_png.png", ".DS_Store": NO_IMAGE}
    for name, original in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / original, folder / name)
    found = arrange([(n, folder / n) for n in names], folder, False)
    report = clean(found, [checked(m.path, tmp_path / "kept") for m in found.members], None)
    assert report.label_conflicts == [["benign/benign (433).png", "malignant/malignant (145).png"]]
    assert {s.file for s in report.accepted} == {"benign/photo.jfif", "malignant/cell.png"}
    assert report.notes["extension differs from content"] == 2 and found.ignored == 1
