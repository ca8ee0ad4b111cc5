"""Importing training sets: what is kept, what is refused, and that nothing is half done."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake.datasets import ImportOptions
from coordinator.intake.spool import open_spool
from coordinator.store.blobs import FolderBlobs
from coordinator.training import oof
from disease_kb.seeding import open_or_build
from tests.support.intake import NOW, add, opened
from tests.support.pictures import noise, write_set


async def test_import_reports_and_maps_classes(coordinator: Coordinator, tmp_path: Path) -> None:
    report = await add(coordinator, write_set(tmp_path / "set", 6))
    assert report["accepted"] == 12 and report["classes"] == {"parasitized": 6, "uninfected": 6}
    assert report["labels"]["parasitized"]["entry"] == "malaria"
    assert report["labels"]["uninfected"] == {
        "entry": "normal-blood-cell",
        "kind": "normal",
        "how": report["labels"]["uninfected"]["how"],
    }
    assert {w["code"] for w in report["warnings"]} == {"intake.few_images", "intake.small_images"}


async def test_second_import_adds_only_what_is_new(coordinator: Coordinator, tmp_path: Path) -> None:
    await add(coordinator, write_set(tmp_path / "set", 6))
    report = await add(coordinator, write_set(tmp_path / "set", 8))
    assert report["already_present"] == 12
    shown = await opened(coordinator).show("malaria")
    assert shown["images"] == 16


async def test_bad_files_are_rejected_one_by_one(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 6)
    good = (folder / "uninfected" / "0.png").read_bytes()
    bad = {
        "text.png": b"hello",
        "empty.jpg": b"",
        "cut.png": good[:-600],
        "black.png": _png(Image.new("RGB", (64, 64))),
        "mask.png": _png(Image.effect_noise((64, 64), 99).convert("1")),
        "tiny.png": _png(Image.new("RGB", (8, 8), "red")),
    }
    for name, data in bad.items():
        (folder / "uninfected" / name).write_bytes(data)
    (folder / "groups.csv").unlink()
    report = await add(coordinator, folder)
    assert {r["file"].split("/")[1]: r["code"] for r in report["rejected"]} == {
        "text.png": "image.other_content",
        "empty.jpg": "image.other_content",
        "cut.png": "image.unreadable",
        "black.png": "image.blank",
        "mask.png": "image.mask",
        "tiny.png": "image.too_small",
    }
    assert report["accepted"] == 12


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


async def test_duplicates_conflicts_and_near_duplicates(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 6)
    (folder / "groups.csv").unlink()
    source = folder / "uninfected" / "0.png"
    (folder / "uninfected" / "copy.png").write_bytes(source.read_bytes())
    (folder / "uninfected" / "both.png").write_bytes(_png(noise(777)))
    (folder / "parasitized" / "both.png").write_bytes(_png(noise(777)))
    for name in ("3.png", "near.jpg"):  # one photograph in two formats
        noise(4242, 160).save(folder / "uninfected" / name)
    report = await add(coordinator, folder)
    assert report["exact_duplicates"] == [["uninfected/0.png", "uninfected/copy.png"]]
    assert report["label_conflicts"] == [["parasitized/both.png", "uninfected/both.png"]]
    assert report["near_duplicates"] == [["uninfected/3.png", "uninfected/near.jpg"]]
    samples = await opened(coordinator).samples("malaria")
    by_file = {s.file: s for s in samples}
    assert by_file["uninfected/3.png"].group == by_file["uninfected/near.jpg"].group
    assert "uninfected/both.png" not in by_file


async def test_kept_copies_hold_no_metadata(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 6)
    (folder / "groups.csv").unlink()
    exif = Image.Exif()
    exif[0x010E] = "Patient Zhang San"
    exif[0x0112] = 6
    noise(5, 90).save(folder / "uninfected" / "named.jpg", exif=exif, comment=b"Ward 7")
    await add(coordinator, folder)
    samples = await opened(coordinator).samples("malaria")
    kept = [opened(coordinator).image_path(s.sha256) for s in samples]
    for path in kept:
        data = path.read_bytes()
        assert b"Zhang" not in data and b"Ward 7" not in data
        with Image.open(path) as picture:
            assert not picture.getexif()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"name": "Bad Name"}, "dataset.bad_name"),
        ({"disease": ""}, "dataset.bad_name"),
        ({"groups_csv": Path("nowhere.csv")}, "file.not_found"),
        ({"groups_csv": Path(__file__)}, "intake.groups"),
    ],
)
async def test_refused_import_leaves_nothing(
    coordinator: Coordinator, tmp_path: Path, options: dict, code: str
) -> None:
    with pytest.raises(CoordinatorError) as caught:
        await add(coordinator, write_set(tmp_path / "set", 4), **options)
    assert caught.value.code == code
    assert await opened(coordinator).all() == []
    assert not list(coordinator.home.base.glob("import-*"))
    assert not list(coordinator.home.images.rglob("*")), "no patient's image stays behind"


async def test_other_disease_and_other_classes_are_refused(coordinator: Coordinator, tmp_path: Path) -> None:
    await add(coordinator, write_set(tmp_path / "set", 4))
    with pytest.raises(CoordinatorError) as caught:
        await add(coordinator, tmp_path / "set", disease="pneumonia")
    assert caught.value.code == "dataset.other_disease"
    other = write_set(tmp_path / "other", 4, first_seed=50)
    (other / "parasitized").rename(other / "gametocyte")
    (other / "groups.csv").unlink()
    with pytest.raises(CoordinatorError) as caught:
        await add(coordinator, other)
    assert caught.value.code == "dataset.other_classes"


async def test_removing_a_group_takes_its_images(coordinator: Coordinator, tmp_path: Path) -> None:
    await add(coordinator, write_set(tmp_path / "set", 6, groups=3))
    datasets = opened(coordinator)
    gone = [s for s in await datasets.samples("malaria") if s.group == "patient-0-1"]
    answer = await datasets.remove("malaria", "patient-0-1")
    assert answer["removed"] == len(gone) == 4
    assert not any(datasets.image_path(s.sha256).exists() for s in gone)
    with pytest.raises(CoordinatorError) as caught:
        await datasets.remove("malaria", "patient-0-1")
    assert caught.value.code == "dataset.unknown_group"


async def test_what_cross_validation_said_of_removed_images_goes_with_them(
    coordinator: Coordinator, tmp_path: Path
) -> None:
    await add(coordinator, write_set(tmp_path / "set", 6, groups=3))
    await add(coordinator, write_set(tmp_path / "other", 6, first_seed=50, groups=3), name="other")
    await add(coordinator, write_set(tmp_path / "again", 6, groups=3), name="again")
    datasets = opened(coordinator)
    blobs = FolderBlobs(coordinator.home.out_of_fold)

    async def keep(name: str) -> str:
        images = await datasets.samples(name)
        truth = np.arange(len(images)) % 2
        groups, logits = np.array([s.group for s in images]), np.ones((1, len(images), 2), np.float32)
        return str(oof.keep(blobs, [s.sha256 for s in images], groups, truth, logits)["sha256"])

    mine, others = await keep("malaria"), await keep("other")
    damaged = blobs.put(b"not an archive")
    await datasets.remove("malaria", "patient-0-1")
    assert blobs.has(mine), "all its images are in another data set too"
    await datasets.remove("again", "patient-0-1")
    assert not blobs.has(mine) and not blobs.has(damaged) and blobs.has(others)
    await datasets.remove("other", None)
    assert not [p for p in coordinator.home.out_of_fold.rglob("*") if p.is_file()]


async def test_labelling_by_hand(coordinator: Coordinator, tmp_path: Path) -> None:
    await add(coordinator, write_set(tmp_path / "set", 4))
    datasets = opened(coordinator)
    async with await open_or_build(coordinator.home.root) as knowledge:
        shown = await datasets.label("malaria", "parasitized", "pneumonia", knowledge)
        assert shown["labels"]["parasitized"] == {"entry": "pneumonia", "kind": "disease", "how": "confirmed"}
        for label, entry, code in (
            ("parasitized", "no-such-entry", "dataset.unknown_entry"),
            ("nobody", "malaria", "dataset.unknown_label"),
        ):
            with pytest.raises(CoordinatorError) as caught:
                await datasets.label("malaria", label, entry, knowledge)
            assert caught.value.code == code


async def test_a_class_without_a_usable_image_is_refused(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 4)
    (folder / "gametocyte").mkdir()
    with pytest.raises(CoordinatorError) as caught:
        await add(coordinator, folder)
    assert caught.value.code == "intake.class_empty" and "gametocyte" in caught.value.message()
    (folder / "gametocyte" / "black.png").write_bytes(_png(Image.new("RGB", (64, 64))))
    with pytest.raises(CoordinatorError) as caught:
        await add(coordinator, folder)
    assert caught.value.code == "intake.class_empty"


def test_one_set_is_imported_once_at_a_time(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with open_spool(home, "malaria", tmp_path, {"min": 16}) as spool:
        with pytest.raises(CoordinatorError) as caught, open_spool(home, "malaria", tmp_path, {"min": 16}):
            pass
        assert caught.value.code == "intake.running" and spool.unpacked.is_dir()
        with open_spool(home, "other", tmp_path, {"min": 16}):
            pass
    assert not list(home.base.glob("import-*"))


async def test_cancelling_ends_the_checks_and_leaves_nothing(coordinator: Coordinator, tmp_path: Path) -> None:
    folder, seen, started = write_set(tmp_path / "set", 30), [], threading.Event()

    def note(done: int, total: int) -> None:
        seen.append(done)
        if done == 3:
            started.set()

    async def start() -> None:
        chosen = ImportOptions("malaria", "malaria")
        async with await open_or_build(coordinator.home.root) as knowledge:
            await opened(coordinator).add(folder, chosen, knowledge, NOW, note)

    task = asyncio.ensure_future(start())
    await asyncio.to_thread(started.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stopped = len(seen)
    assert stopped < 60 and not list(coordinator.home.base.glob("import-*"))
    await asyncio.sleep(0.1)
    assert len(seen) == stopped and await opened(coordinator).all() == []
