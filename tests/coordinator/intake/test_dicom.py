"""DICOM training images: patients become groups, nothing else of a header is kept, doubtful ones wait."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from coordinator.bootstrap import Coordinator
from coordinator.errors import CoordinatorError
from coordinator.intake import headers
from coordinator.intake.quarantine import Quarantine
from disease_kb.seeding import open_or_build
from tests.support.dicom import SECRETS, dicom_file
from tests.support.intake import add, files, opened, rows

XRAY, ULTRASOUND, CAPTURE = (f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("1.1", "6.1", "7"))
CHINESE = "王小明"


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, (8, 8)).astype(np.uint16).repeat(10, 0).repeat(10, 1)


def write_dicoms(folder: Path, doubtful: int = 0) -> Path:
    """Two classes of four; two files a patient."""
    for number, label in enumerate(("normal", "pneumonia")):
        (folder / label).mkdir(parents=True)
        for index in range(4):
            dicom_file(
                folder / label / f"{index}.dcm",
                pixels(100 * number + index),
                sop_class=ULTRASOUND if index < doubtful else XRAY,
                PatientID=f"{SECRETS[1]}-{number}-{index // 2}",
                SpecificCharacterSet="ISO_IR 192",
                ReferringPhysicianName=CHINESE,
                StudyDescription=f"chest of {SECRETS[0]}",
            )
    return folder


def everything(coordinator: Coordinator) -> bytes:
    """Every byte that the coordinator keeps."""
    return b"".join(p.read_bytes() for p in sorted(coordinator.home.base.rglob("*")) if p.is_file())


async def test_patients_become_groups_and_nothing_else_of_the_header_is_kept(
    coordinator: Coordinator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = await add(coordinator, write_dicoms(tmp_path / "set"))
    assert report["accepted"] == 8 and report["groups"] == 4 and not report["rejected"]
    kept, secrets = everything(coordinator), (*(s.encode() for s in SECRETS), CHINESE.encode())
    assert not any(secret in kept for secret in secrets)
    assert not any(s in caplog.text + str(report) for s in SECRETS)
    groups = {s.file: s.group for s in await opened(coordinator).samples("malaria")}
    assert groups["normal/0.dcm"] == groups["normal/1.dcm"] != groups["normal/2.dcm"]
    salt = coordinator.home.keys / "patient-salt"
    assert salt.stat().st_mode & 0o777 == 0o600 and len(salt.read_bytes()) == 32
    assert groups["normal/0.dcm"] == f"patient:{headers.pseudonym(SECRETS[1] + '-0-0', salt.read_bytes())}"
    assert headers.pseudonym("1", b"here") != headers.pseudonym("1", b"there")


async def test_a_patient_of_an_earlier_import_is_the_same_group(coordinator: Coordinator, tmp_path: Path) -> None:
    await add(coordinator, write_dicoms(tmp_path / "set"))
    more = write_dicoms(tmp_path / "more")
    dicom_file(more / "normal" / "late.dcm", pixels(999), sop_class=XRAY, PatientID=f"{SECRETS[1]}-0-0")
    await add(coordinator, more)
    groups = {s.file: s.group for s in await opened(coordinator).samples("malaria")}
    assert groups["normal/late.dcm"] == groups["normal/0.dcm"]
    removed = await opened(coordinator).remove("malaria", groups["normal/0.dcm"])
    assert removed["removed"] == 3


@pytest.mark.parametrize(
    ("elements", "doubt"),
    [
        ({"sop_class": XRAY}, ""),
        ({"sop_class": ULTRASOUND}, "ultrasound"),
        ({"sop_class": XRAY, "Modality": "US"}, "ultrasound"),
        ({"sop_class": CAPTURE}, "secondary_capture"),
        ({"sop_class": CAPTURE, "BurnedInAnnotation": "NO"}, "secondary_capture"),
        ({"sop_class": XRAY, "BurnedInAnnotation": "YES"}, "burned_in"),
        ({"sop_class": XRAY, "RecognizableVisualFeatures": "YES"}, "face"),
    ],
)
def test_what_a_person_has_to_look_at(tmp_path: Path, elements: dict, doubt: str) -> None:
    assert headers.read(dicom_file(tmp_path / "x", **elements), b"").doubt == doubt


async def test_doubtful_images_wait_apart_until_a_person_has_looked(coordinator: Coordinator, tmp_path: Path) -> None:
    report = await add(coordinator, write_dicoms(tmp_path / "set", doubtful=2), keep_originals=True)
    assert report["accepted"] == 4 and [w["doubt"] for w in report["quarantined"]] == ["ultrasound"] * 4
    assert "intake.quarantined" in {w["code"] for w in report["warnings"]}
    kept = files(coordinator)
    assert (len(kept["images"]), len(kept["originals"]), len(kept["quarantine"])) == (4, 4, 8)
    waiting = Quarantine(coordinator.database, coordinator.home)
    listed = await waiting.list("malaria")
    row, picture = await waiting.picture(listed[0]["id"])
    assert row == listed[0] and picture.startswith(b"\x89PNG")

    async with await open_or_build(coordinator.home.root) as knowledge:
        accepted = await waiting.accept(listed[0]["id"], knowledge)
    assert accepted["group"].startswith("patient:")
    await waiting.reject(listed[1]["id"])
    kept = files(coordinator)
    assert (len(kept["images"]), len(kept["originals"]), len(kept["quarantine"])) == (5, 5, 4)
    with pytest.raises(CoordinatorError) as caught:
        await waiting.reject(listed[1]["id"])
    assert caught.value.code == "quarantine.unknown"
    samples = {s.file: s for s in await opened(coordinator).samples("malaria")}
    assert samples[listed[0]["file"]].facts is not None and len(samples) == 5

    again = await add(coordinator, tmp_path / "set")
    assert again["accepted"] == 4 and len(await waiting.list(None)) == 3, (
        "rejected before, it waits once more; the rest once"
    )
    await opened(coordinator).remove("malaria", None)
    assert not any(files(coordinator).values()) and not any((await rows(coordinator)).values())


async def test_a_set_of_nothing_but_doubtful_images_can_be_reviewed(coordinator: Coordinator, tmp_path: Path) -> None:
    report = await add(coordinator, write_dicoms(tmp_path / "set", doubtful=4))
    assert report["accepted"] == 0 and len(report["quarantined"]) == 8
    shown = await opened(coordinator).show("malaria")
    assert shown["quarantined"] == 8 and set(shown["labels"]) == {"normal", "pneumonia"}
    html = await opened(coordinator).report("malaria")
    assert html["shortcuts"] == [] and html["images"] == 0


async def test_an_original_is_kept_without_what_names_a_person(coordinator: Coordinator, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    await add(coordinator, write_dicoms(tmp_path / "set"), keep_originals=True)
    kept = everything(coordinator)
    assert not any(secret in kept for secret in (*(s.encode() for s in SECRETS), CHINESE.encode()))
    originals = [p for p in coordinator.home.originals.rglob("*") if p.is_file()]
    assert len(originals) == 8
    given = {pixels(100 * n + i).tobytes() for n in range(2) for i in range(4)}
    assert {pydicom.dcmread(io.BytesIO(p.read_bytes())).pixel_array.tobytes() for p in originals} == given


async def test_originals_are_kept_only_on_request_and_go_with_their_images(
    coordinator: Coordinator, tmp_path: Path
) -> None:
    await add(coordinator, write_dicoms(tmp_path / "set"))
    assert not files(coordinator)["originals"]
    await opened(coordinator).remove("malaria", None)
    await add(coordinator, tmp_path / "set", keep_originals=True)
    group = (await opened(coordinator).samples("malaria"))[0].group
    await opened(coordinator).remove("malaria", group)
    assert len(files(coordinator)["originals"]) == len(files(coordinator)["images"]) == 6
