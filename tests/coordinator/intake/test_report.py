"""The cleaning report: what it says, and that the page stands alone and holds nothing it should not."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordinator.bootstrap import Coordinator
from coordinator.intake.disputes import disputed
from coordinator.intake.samples import Sample
from coordinator.reports import markdown, page
from coordinator.reports.cleaning import report as render
from coordinator.reports.cleaning import thumbnail
from coordinator.reports.document import Document, Gallery, Section, Thumbnail, Words
from coordinator.store.blobs import FolderBlobs
from coordinator.store.tables import models
from coordinator.training import oof
from coordinator.training.oof import OutOfFold
from protocols.notice import NOTICE
from tests.conftest import data_folder
from tests.support.dicom import dicom_file
from tests.support.html import Page
from tests.support.intake import add, opened
from tests.support.pictures import noise, png, write_set

HOSTILE = '<img src=x onerror=alert(1)> & "quoted"'


async def spoiled(coordinator: Coordinator, folder: Path) -> None:
    """A set with something of everything."""
    write_set(folder, 24)
    (folder / "groups.csv").unlink()
    for path in (folder / "parasitized").glob("*.png"):
        with Image.open(path) as picture:
            picture.save(path.with_suffix(".jpg"))
        path.unlink()
    inside = folder / "uninfected"
    (inside / f"{HOSTILE}.png").write_bytes(b"hello")
    (inside / "copy.png").write_bytes((inside / "0.png").read_bytes())
    for label in ("uninfected", "parasitized"):
        (folder / label / "both.png").write_bytes(png(noise(777)))
    noise(4242, 160).save(inside / "scene.png")
    noise(4242, 160).save(inside / "scene.jpg")
    noise(9, 160).convert("RGBA").save(inside / "alpha.png")
    dicom_file(inside / "us.dcm", sop_class="1.2.840.10008.5.1.4.1.1.6.1")
    await add(coordinator, folder)


async def pages(coordinator: Coordinator) -> dict[str, str]:
    datasets = opened(coordinator)
    of_file = {s.file: datasets.image_path(s.sha256) for s in await datasets.samples("malaria")}
    document = render(await datasets.report("malaria"), lambda f: thumbnail(of_file[f]) if f in of_file else None)
    return {"en": page.render(document, "en"), "zh": page.render(document, "zh")}


async def test_page_says_it_all_and_stands_alone(coordinator: Coordinator, tmp_path: Path) -> None:
    await spoiled(coordinator, tmp_path / "set")
    found = await pages(coordinator)
    for language, said in (
        ("en", ["(text)", "ultrasound", "converted from RGBA", "One image under two labels"]),
        ("zh", ["同一图像有两个标签", "超声", "仅凭", "拒绝", "由 RGBA 转换", "边长不足 64 像素"]),
    ):
        content = found[language]
        pictures = Page(content, pictures=True).pictures
        assert all(word in content for word in (*said, NOTICE["en"], NOTICE["zh"], "image.other_content")), language
        assert "<img src=x" not in content and "&lt;img src=x" in content
        assert str(tmp_path) not in content and "PID-4711" not in content
        assert len(pictures) == 2, "one of the exact duplicates, one of the near-duplicates"
        for picture in pictures:
            with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
                assert max(image.size) <= 96 and not image.getexif()
        assert len(content) < 100_000
    assert "The class can be told from the file format" in found["en"]


async def test_report_counts_and_names(coordinator: Coordinator, tmp_path: Path) -> None:
    await spoiled(coordinator, tmp_path / "set")
    document = await opened(coordinator).report("malaria")
    (imported,) = document["imports"]
    assert document["classes"]["uninfected"] == {"images": 27, "groups": 26}
    assert imported["groups_by_class"] == {"parasitized": 24, "uninfected": 26}
    assert imported["notes"] == {"converted from RGBA": 1, "small": 49}
    assert document["disputed"]["model"] is None and "No model" in document["disputed"]["note"]
    form = next(s for s in document["shortcuts"] if s["facet"] == "format")
    assert form["found"] and "format" in {w.get("facet") for w in imported["warnings"]}
    json.dumps(document)


def test_disputed_labels_are_sorted_and_those_that_are_gone_left_out() -> None:
    names = ("a", "b")
    images = tuple(f"{n:064x}" for n in range(5))
    truth = np.array([0, 0, 0, 1, 1])
    one = np.array([[2, 0], [0, 1], [0, 4], [3, 0], [5, 0]], np.float32)
    answers = OutOfFold(images, np.arange(5), truth, np.stack([one, one]))
    now = [
        Sample(image, names[t], "g", f"{names[t]}/{n}.png")
        for n, (image, t) in enumerate(zip(images, truth, strict=True))
    ]
    now[4] = Sample(images[4], "a", "g", "a/4.png")  # relabelled since
    found = disputed(answers, names, now[:5])
    assert [(r["file"], r["label"], r["model_says"]) for r in found] == [
        ("a/2.png", "a", "b"),
        ("b/3.png", "b", "a"),
        ("a/1.png", "a", "b"),
    ]
    assert found[0]["score"] == pytest.approx(0.982, abs=1e-3)
    assert [r["file"] for r in disputed(answers, names, now[:3])] == ["a/2.png", "a/1.png"]


async def test_disputed_labels_stand_in_report_and_page(coordinator: Coordinator, tmp_path: Path) -> None:
    await add(coordinator, write_set(tmp_path / "set", 24))
    samples = await opened(coordinator).samples("malaria")
    labels = sorted({s.label for s in samples})
    truth = np.array([labels.index(s.label) for s in samples])
    logits = np.eye(2, dtype=np.float32)[truth][np.newaxis] * 4
    logits[0, 7] = logits[0, 7][::-1]
    kept = oof.keep(
        FolderBlobs(coordinator.home.out_of_fold),
        [s.sha256 for s in samples],
        np.array([s.group for s in samples]),
        truth,
        logits,
    )
    training = {"out_of_fold": kept, "metrics": {"per_class": {x: {} for x in labels}}}
    values = {"name": "malaria", "version": 1, "disease": "malaria", "dataset": "malaria", "manifest": "0" * 64}
    async with coordinator.database.begin() as connection:
        await connection.execute(models.insert().values(**values, created="", training=training))
    document = await opened(coordinator).report("malaria")
    assert document["disputed"]["model"] == "malaria@1"
    assert [r["file"] for r in document["disputed"]["images"]] == [samples[7].file]
    content = (await pages(coordinator))["en"]
    assert f"{samples[7].file}: labelled {samples[7].label}" in content
    assert content.count("data:image/jpeg") == 1


def test_gallery_as_text_and_without_a_picture() -> None:
    gallery = Gallery((Thumbnail(None, "a/1.png"), Thumbnail(b"x", Words("two", "二"))))
    document = Document(Words("T", "题"), (), (Section(Words("S", "节"), (gallery,)),))
    assert "* a/1.png\n* two" in markdown.render(document, "en")
    assert page.render(document, "zh").count("<img") == 1


@pytest.mark.data
async def test_brain_mri_has_its_duplicates_and_the_size_shortcut(coordinator: Coordinator, tmp_path: Path) -> None:
    source, folder = data_folder("brain_mri"), tmp_path / "brain_mri"
    digests: dict[bytes, list[str]] = {}
    for path in sorted(source.glob("*/*")):
        digests.setdefault(path.read_bytes(), []).append(path.relative_to(source).as_posix())
    for number, (data, names) in enumerate(digests.items()):
        if len(names) == 1 and number % 2:  # half of the others does
            continue
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    report = await add(coordinator, folder, disease="brain-tumour", name="brain")
    copies = [set(names) for names in digests.values() if len(names) > 1]
    listed = [set(names) for names in (*report["exact_duplicates"], *report["label_conflicts"])]
    assert len(copies) > 10 and all(any(c <= one for one in listed) for c in copies)
    size = next(s for s in report["shortcuts"] if s["facet"] == "size")
    assert size["found"] and size["balanced_accuracy"]["low"] > 0.35
    assert "512×512" in {t["value"] for t in size["telling"]}
    assert "intake.shortcut" in {w["code"] for w in report["warnings"]}
