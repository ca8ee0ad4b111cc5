"""Pictures, DICOM, QR codes, the referral sheet, and the command itself."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import segno
from PIL import Image

from edge_node.ui import photo, qr, referral, run
from edge_node.ui.environment import prepare_kivy
from edge_node.ui.errors import UiError
from edge_node.ui.values import Raster
from protocols.imaging import ImageError
from tests.edge_node.support.commands import environment
from tests.edge_node.ui.support.fakes import NOW, answer
from tests.support.dicom import dicom_file


def test_a_sideways_photo_is_shown_upright_and_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1600, 1200), (200, 10, 10)).save(tmp_path / "a.jpg", exif=exif)
    shown = photo.load(tmp_path / "a.jpg")
    assert (shown.width, shown.height) == (1200, 1600)
    assert (shown.shown.width, shown.shown.height) == (675, 900)
    assert len(shown.shown.rgb) == 675 * 900 * 3


def test_a_file_with_several_pictures_opens_at_the_first(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (60, 40 + n), (n, 10, 10)) for n in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    first, third = photo.load(tmp_path / "a.tif"), photo.load(tmp_path / "a.tif", 3)
    assert (first.frame, first.frames, first.height) == (1, 3, 40)
    assert (third.frame, third.height) == (3, 42)
    Image.new("RGB", (60, 40), (1, 10, 10)).save(tmp_path / "b.png")
    alone = photo.load(tmp_path / "b.png")
    assert (alone.frame, alone.frames) == (None, 1)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0 truncated"])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError):
        photo.load(tmp_path / "a.jpg")


def test_a_truncated_picture_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((300, 300), 80).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:20_000])
    with pytest.raises(ImageError) as refused:
        photo.load(tmp_path / "a.png")
    assert refused.value.code == "image.unreadable"


def test_a_folder_shows_folders_and_pictures_only(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.dcm", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "ward").mkdir()
    found = photo.list_folder(tmp_path)
    assert found.folders == ("ward",) and found.files == ("a.png", "b.JPG", "c.dcm")


def test_a_camera_frame_is_kept_without_metadata(tmp_path: Path) -> None:
    path = photo.keep(Raster(4, 4, bytes(48)), tmp_path / "pictures")
    with Image.open(path) as image:
        assert image.size == (4, 4) and not image.getexif()


def test_dicom_is_shown_from_its_own_file(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "IM0001")
    shown = photo.load(path)
    assert (shown.path, shown.width, shown.height, shown.notes) == (path, 60, 40, ("dicom",))
    row = np.frombuffer(shown.shown.rgb, dtype=np.uint8).reshape(40, 60, 3)[0, :, 0]
    assert row[0] == 0 and row[-1] == 255
    assert photo.list_folder(tmp_path).files == ("IM0001",), "discs name them without an ending"


def test_an_invites_code_is_read_from_a_picture(tmp_path: Path) -> None:
    text = "medmesh1." + "aZ09-_" * 60
    segno.make(text, error="m").save(str(tmp_path / "qr.png"), scale=4)
    assert qr.read(tmp_path / "qr.png") == text
    Image.new("RGB", (200, 200)).save(tmp_path / "none.png")
    with pytest.raises(UiError) as refused:
        qr.read(tmp_path / "none.png")
    assert refused.value.code == "ui.qr_none"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("outcome", ["recognised", "unsure", "not_this_kind_of_image", "poor_quality"])
def test_the_referral_sheet_has_text_and_no_picture(tmp_path: Path, language, outcome) -> None:  # type: ignore[no-untyped-def]
    found = answer(outcome)
    path = referral.write(found, {"zh": "疟疾", "en": "Malaria"}, language, NOW, tmp_path)
    data = path.read_bytes()
    assert data.startswith(b"%PDF") and b"/Subtype /Image" not in data and b"smear.jpg" not in data
    assert path.stat().st_mode & 0o077 == 0
    assert len(data) < 300_000


def test_the_app_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "kivy" else object())
    with pytest.raises(UiError) as refused:
        run.require_packages()
    assert refused.value.code == "ui.not_installed" and "pip install" in refused.value.remedy("zh")


def test_the_commands_do_not_load_kivy() -> None:
    script = "import sys, edge_node.cli.app; print([m for m in ('kivy', 'fpdf', 'PIL', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


def test_the_presenter_does_not_load_kivy() -> None:
    script = "import sys, edge_node.ui.presenter.presenter, edge_node.ui.wiring.start; print('kivy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "False"


def test_kivy_keeps_to_the_nodes_home(tmp_path: Path) -> None:
    values: dict[str, str] = {}
    prepare_kivy(tmp_path / "kivy", values)
    assert values["KIVY_HOME"] == str(tmp_path / "kivy")
    assert values["KIVY_NO_ARGS"] == values["KIVY_NO_FILELOG"] == values["KIVY_NO_CONSOLELOG"] == "1"
