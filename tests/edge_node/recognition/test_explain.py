"""Explanations through the service: with the tiny real stages, which see a picture of 32 px as 4 x 4 squares."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_node.errors import EdgeError
from edge_node.recognition.explain import ExplanationFiles, write_png
from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recogniser
from edge_node.recognition.service import RecognitionService
from protocols.explanation import Evidence
from protocols.imaging import Box
from protocols.manifest import Calibration, ReleaseManifest
from protocols.novelty import Residuals
from protocols.pipeline import Pipelines
from tests.edge_node.recognition.test_recognition import NoKnowledge, photo
from tests.edge_node.support.node import ColourRunner
from tests.edge_node.support.releases import BLUE, RED, Release, make_release
from tests.support.manifests import example

GREY = (120, 120, 120)


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.rglob(pattern))


def pixels(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.int64)


class BlindRunner(ColourRunner):
    """A model brought ready-trained: it answers and cannot tell why."""

    def evidence(self, *_: Any) -> Evidence | None:
        return None


def real(tmp_path: Path, *releases: Release) -> RecognitionService:
    folder = tmp_path / "artifacts"
    folder.mkdir(exist_ok=True)
    for release in releases:
        for sha256, data in release.files.items():
            (folder / sha256).write_bytes(data)
    return RecognitionService(Recogniser(Pipelines(lambda sha256: folder / sha256)), None, NoKnowledge(), 1.0)


def blind() -> RecognitionService:
    return RecognitionService(Recogniser(BlindRunner()), None, NoKnowledge(), 1.0)


async def explained(
    service: RecognitionService, image: Path, out: Path, manifest: ReleaseManifest, crop: Box | None = None
) -> tuple[dict[str, Any], list[EdgeError]]:
    findings = await service.recognise([Picture(image, crop)], [manifest], None, ExplanationFiles(out, several=False))
    return findings.results[0], findings.unwritten


async def test_the_explanation_names_its_file_label_and_grid(tmp_path: Path) -> None:
    release, out = make_release(), tmp_path / "out.png"
    out.write_bytes(b"an older one")
    result, _ = await explained(real(tmp_path, release), photo(tmp_path, GREY, RED), out, release.manifest)
    assert result["explanation"] == {"file": str(out), "label": "red", "grid": [4, 4]}
    assert result["explanation_reason"] is None
    drawn, before = pixels(out), pixels(tmp_path / "photo.png")
    assert drawn.shape == before.shape == (80, 160, 3)
    change = np.abs(drawn - before).sum(axis=2)
    assert change[:, 120:].min() > 30 and change[:, :40].max() == 0


async def test_only_the_crop_is_drawn(tmp_path: Path) -> None:
    release, out = make_release(), tmp_path / "out.png"
    both = photo(tmp_path, GREY, RED)
    await explained(real(tmp_path, release), both, out, release.manifest, Box(80, 10, 40, 20))
    with Image.open(out) as drawn:
        assert drawn.size == (40, 20)


async def test_nothing_is_drawn_unless_asked(tmp_path: Path) -> None:
    release = make_release()
    service = real(tmp_path, release)
    findings = await service.recognise([Picture(photo(tmp_path, RED))], [release.manifest], None)
    assert (findings.results[0]["explanation"], findings.results[0]["explanation_reason"]) == (None, "not_asked")
    assert not names(tmp_path, "*out*")


async def test_a_model_that_cannot_tell_where_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    result, unwritten = await explained(blind(), photo(tmp_path, RED), out, make_release().manifest)
    assert (result["explanation"], result["explanation_reason"]) == (None, "no_locations")
    assert result["outcome"] == "recognised" and not unwritten and not out.exists()


async def test_a_picture_of_another_kind_is_not_explained_and_has_nothing_to_read_up_on(tmp_path: Path) -> None:
    class Foreign(BlindRunner):
        def residuals(self, *_: Any) -> Any:
            return Residuals(99.0, 99.0)

    service = RecognitionService(Recogniser(Foreign()), None, NoKnowledge(), 1.0)
    manifest = replace(make_release().manifest, novelty=example().novelty)
    result, _ = await explained(service, photo(tmp_path, RED), tmp_path / "out.png", manifest)
    assert result["outcome"] == "not_this_kind_of_image"
    assert (result["explanation"], result["explanation_reason"]) == (None, "not_this_kind_of_image")
    assert result["considered"] == [] and result["diagnosis"]["entries"] == result["diagnosis"]["unmapped"] == []


async def test_the_label_explained_is_the_one_recognised(tmp_path: Path) -> None:
    """Limits are by label: the likelier one may be excluded and the other not."""
    release = make_release(calibration=Calibration(1.0, 0.9, (0.01, 0.99), (0.0, 0.0)))
    result, _ = await explained(
        real(tmp_path, release), photo(tmp_path, RED, BLUE, RED), tmp_path / "out.png", release.manifest
    )
    assert (result["labels"][0]["label"], result["prediction_set"]) == ("red", ["blue"])
    assert result["explanation"]["label"] == "blue"


@pytest.mark.parametrize("where", ["absent/out.png", "file.txt/out.png", "folder.png"])
async def test_what_cannot_be_written_leaves_the_result_standing(tmp_path: Path, where: str) -> None:
    (tmp_path / "file.txt").write_text("no folder")
    (tmp_path / "folder.png").mkdir()
    release = make_release()
    result, unwritten = await explained(
        real(tmp_path, release), photo(tmp_path, RED), tmp_path / where, release.manifest
    )
    assert (result["outcome"], result["explanation_reason"]) == ("recognised", "not_written")
    assert [(e.code, e.kind.exit_code) for e in unwritten] == [("edge.explanation_unwritable", 6)]
    assert str(tmp_path / where) in unwritten[0].message("en")
    assert not names(tmp_path, ".*.png*")


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_png(tmp_path / "out.png", b"data")
    assert list(tmp_path.iterdir()) == []


async def test_a_picture_that_is_gone_since_it_was_recognised_keeps_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = make_release()
    service, image = real(tmp_path, release), photo(tmp_path, RED)

    def gone(*_: Any) -> bytes:
        return Path(tmp_path / "absent.png").read_bytes()

    monkeypatch.setattr("edge_node.recognition.service.draw", gone)
    result, unwritten = await explained(service, image, tmp_path / "out.png", release.manifest)
    assert (result["explanation_reason"], len(unwritten)) == ("not_written", 1)


async def test_several_pictures_and_diseases_get_a_file_each(tmp_path: Path) -> None:
    releases = [make_release(), make_release("skin", model="lesions")]
    images = [photo(tmp_path, c, name=f"{i}.png") for i, c in enumerate((RED, BLUE))]
    files = ExplanationFiles(tmp_path / "out.png", several=True)
    pictures, manifests = [Picture(image) for image in images], [release.manifest for release in releases]
    findings = await real(tmp_path, *releases).recognise(pictures, manifests, None, files)
    wanted = ["out-1-malaria.png", "out-1-skin.lesions.png", "out-2-malaria.png", "out-2-skin.lesions.png"]
    assert names(tmp_path, "out*") == wanted
    assert sorted(Path(r["explanation"]["file"]).name for r in findings.results) == wanted


@pytest.mark.parametrize("name", ["out.jpg", "out", ".png", "out.png.txt"])
def test_a_name_that_is_no_png_is_a_usage_error(name: str) -> None:
    with pytest.raises(EdgeError) as caught:
        ExplanationFiles(Path(name), several=False)
    assert (caught.value.code, caught.value.kind.exit_code) == ("edge.explain_png", 2)


@pytest.mark.parametrize("several", [False, True])
async def test_the_picture_itself_is_never_overwritten(tmp_path: Path, several: bool) -> None:
    image = photo(tmp_path, RED, name="photo-1-malaria.png")
    before = image.read_bytes()
    link = tmp_path / "link.png"
    link.symlink_to(image)
    outs = [tmp_path / "photo.png"] if several else [image, tmp_path / "x" / ".." / image.name, link]
    (tmp_path / "x").mkdir()
    for out in outs:
        with pytest.raises(EdgeError) as caught:
            files = ExplanationFiles(out, several)
            await blind().recognise([Picture(image)], [make_release().manifest], None, files)
        assert (caught.value.code, caught.value.kind.exit_code) == ("edge.explain_over_image", 2)
    assert image.read_bytes() == before


async def test_heat_for_a_screen_needs_no_file(tmp_path: Path) -> None:
    release = make_release()
    shown = await real(tmp_path, release).heat(Picture(photo(tmp_path, GREY, RED)), release.manifest)
    assert shown is not None and set(shown) == {"red", "blue"}
    assert shown["red"].shape == (4, 4) and shown["red"].dtype == np.float32
    assert shown["red"][:, 3].min() == pytest.approx(1.0) and shown["red"][:, 0] == pytest.approx(0.0, abs=0.01)
    assert shown["blue"] == pytest.approx(-shown["red"])
    assert await blind().heat(Picture(photo(tmp_path, RED)), release.manifest) is None
