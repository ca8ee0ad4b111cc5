from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from disease_kb.diagnosis import diagnosis_aid
from disease_kb.seeding import seed_entries
from edge_node.errors import EdgeError, UnreachableError
from edge_node.knowledge.lookup import Answer
from edge_node.recognition import recogniser
from edge_node.recognition.crop import parse_crop
from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import LastPicture, Recogniser
from edge_node.recognition.result import blur
from edge_node.recognition.service import RecognitionService
from protocols.imaging import Box, InputSpec, Quality
from protocols.manifest import Calibration, Label, QualityLimits
from tests.edge_node.support.node import ColourRunner
from tests.edge_node.support.releases import BLUE, RED, make_release, png

SEED = {entry.id: diagnosis_aid(entry) for entry in seed_entries()}


class SimulatedKnowledge:
    """A knowledge base that may be slow, gone or empty."""

    def __init__(self, source: str, entries: dict[str, dict[str, Any]] | None = None, delay_s: float = 0.0) -> None:
        self.source, self.entries, self.delay_s, self.asked = source, entries, delay_s, 0

    async def lookup(self, ids: Collection[str]) -> Answer | None:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        if self.entries is None:
            raise UnreachableError("edge.coordinator_unreachable", url="memory")
        return Answer(self.source, f"{self.source}-1", {i: self.entries[i] for i in ids if i in self.entries})


class NoKnowledge:
    async def lookup(self, ids: Collection[str]) -> Answer | None:
        return None


def photo(folder: Path, *colours: tuple[int, int, int], name: str = "photo.png") -> Path:
    path = folder / name
    path.write_bytes(png(*colours, edge=80))
    return path


def service(coordinator: Any = None, replica: Any = None, timeout_s: float = 1.0) -> RecognitionService:
    replica = replica or SimulatedKnowledge("replica", SEED)
    return RecognitionService(Recogniser(ColourRunner()), coordinator, replica, timeout_s)


async def one(found: RecognitionService, image: Path, *releases: Any, crop: Box | None = None) -> dict[str, Any]:
    manifests = [r.manifest for r in releases] or [make_release().manifest]
    findings = await found.recognise([Picture(image, crop)], manifests, None)
    return findings.results[0]


async def test_the_result_names_ranks_and_explains(tmp_path: Path) -> None:
    result = await one(service(), photo(tmp_path, RED))
    assert [x["label"] for x in result["labels"]] == ["red", "blue"]
    assert result["labels"][0]["name"] == SEED["malaria"]["name"]
    assert (result["prediction_set"], result["outcome"]) == (["red"], "recognised")
    assert [e["id"] for e in result["diagnosis"]["entries"]] == ["malaria"]
    assert result["release"] == {"model": "malaria", "version": 1}
    assert set(result["timing_ms"]) == {"prepare", "infer", "total"}
    assert "Research use only" in result["notice"]


def test_an_explanation_prepares_and_runs_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Path] = []
    inner = recogniser.open_picture

    def counted(path: Path, frame: int | None) -> Any:
        prepared.append(path)
        return inner(path, frame)

    monkeypatch.setattr(recogniser, "open_picture", counted)
    last, release = LastPicture(), make_release().manifest
    image = photo(tmp_path, RED)
    (first,) = Recogniser(ColourRunner(), last).recognise(Picture(image), [release])
    (second,) = Recogniser(ColourRunner(), last).recognise(Picture(image), [release])
    assert prepared == [image]
    assert first.answer.scores.tolist() == second.answer.scores.tolist()
    photo(tmp_path, BLUE)  # the same name, another picture
    (other,) = Recogniser(ColourRunner(), last).recognise(Picture(image), [release])
    assert prepared == [image, image]
    assert other.answer.scores.tolist() != first.answer.scores.tolist()
    Recogniser(ColourRunner(), last).recognise(Picture(image, Box(0, 0, 40, 40)), [release])
    assert len(prepared) == 3, "another region"


async def test_a_normal_finding_has_its_entry_too(tmp_path: Path) -> None:
    result = await one(service(), photo(tmp_path, BLUE))
    assert [e["id"] for e in result["diagnosis"]["entries"]] == ["normal-blood-cell"]


async def test_an_undecided_picture_gets_the_entries_of_the_whole_prediction_set(tmp_path: Path) -> None:
    cautious = make_release(calibration=Calibration(1.0, 0.9, (0.6, 0.6), (0.0, 0.0)))
    result = await one(service(), photo(tmp_path, RED, BLUE), cautious)
    assert result["outcome"] == "unsure"
    assert sorted(result["prediction_set"]) == ["blue", "red"]
    assert [e["id"] for e in result["diagnosis"]["entries"]] == [
        {"red": "malaria", "blue": "normal-blood-cell"}[label] for label in result["prediction_set"]
    ]


async def test_crop_chooses_the_region(tmp_path: Path) -> None:
    both = photo(tmp_path, RED, BLUE)
    assert (await one(service(), both, crop=Box(0, 0, 80, 80)))["prediction_set"] == ["red"]
    assert (await one(service(), both, crop=Box(80, 0, 80, 80)))["prediction_set"] == ["blue"]


async def test_an_unmapped_label_is_named_with_its_reason_and_never_guessed(tmp_path: Path) -> None:
    labels = (Label("malaria", None, "other"), Label("blue", "normal-blood-cell", "normal"))
    release = make_release(labels=labels, unmapped_reason="no entry agreed yet")
    result = await one(service(), photo(tmp_path, RED), release)
    assert result["diagnosis"]["entries"] == []
    assert result["diagnosis"]["unmapped"] == [{"label": "malaria", "reason": "no entry agreed yet"}]
    assert result["labels"][0]["name"] == {"zh": "malaria", "en": "malaria"}


async def test_an_entry_that_the_knowledge_base_lacks_is_named(tmp_path: Path) -> None:
    labels = (Label("red", "brand-new-disease", "disease"), Label("blue", "normal-blood-cell", "normal"))
    result = await one(service(), photo(tmp_path, RED), make_release(labels=labels))
    assert result["diagnosis"]["entries"] == []
    assert "brand-new-disease" in result["diagnosis"]["unmapped"][0]["reason"]


async def test_the_coordinator_is_asked_first_and_once_for_all_pictures(tmp_path: Path) -> None:
    coordinator = SimulatedKnowledge("coordinator", SEED)
    images = [photo(tmp_path, c, name=f"{i}.png") for i, c in enumerate((RED, BLUE, RED))]
    findings = await service(coordinator).recognise([Picture(i) for i in images], [make_release().manifest], "A-1")
    assert [r["diagnosis"]["source"] for r in findings.results] == ["coordinator"] * 3
    assert [r["case"] for r in findings.results] == ["A-1"] * 3
    assert coordinator.asked == 1


@pytest.mark.parametrize(
    "coordinator", [SimulatedKnowledge("coordinator"), SimulatedKnowledge("coordinator", SEED, 30.0)]
)
async def test_the_replica_answers_where_the_coordinator_is_gone_or_slow(tmp_path: Path, coordinator: Any) -> None:
    start = time.monotonic()
    result = await one(service(coordinator, timeout_s=0.2), photo(tmp_path, RED))
    assert (result["diagnosis"]["source"], result["diagnosis"]["kb_version"]) == ("replica", "replica-1")
    assert time.monotonic() - start < 5


async def test_without_any_knowledge_base_the_result_still_stands(tmp_path: Path) -> None:
    result = await one(service(None, NoKnowledge()), photo(tmp_path, RED))
    assert (result["diagnosis"]["source"], result["outcome"]) == ("none", "recognised")
    assert result["labels"][0]["name"]["en"] == "red"


async def test_a_poor_picture_says_so(tmp_path: Path) -> None:
    release = make_release(quality=QualityLimits(50.0, 0.1, 0.9, 0.0, 1.0))
    result = await one(service(), photo(tmp_path, RED), release)
    assert (result["outcome"], result["quality"]["ok"]) == ("poor_quality", False)
    assert result["quality"]["blur"] > 1


def test_blur_grows_as_sharpness_falls() -> None:
    limits = QualityLimits(10.0, 0.0, 1.0, 0.0, 1.0)
    assert [blur(Quality(s, 0.5, 0.9, 0.0), limits) for s in (20.0, 10.0, 5.0, 0.0)] == [0.5, 1.0, 2.0, 99.0]


async def test_unreadable_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good, broken, cut = photo(tmp_path, RED), tmp_path / "broken.jpg", tmp_path / "cut.png"
    broken.write_bytes(b"<svg/>")
    noise = np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    cut.write_bytes((tmp_path / "noise.png").read_bytes()[:3000])
    files = [broken, tmp_path / "absent.png", tmp_path, cut, good]
    findings = await service().recognise([Picture(f) for f in files], [make_release().manifest], None)
    assert [r["image"] for r in findings.results] == [str(good)]
    assert [(f.file, f.code) for f in findings.failures] == [
        (broken, "image.unreadable"),
        (tmp_path / "absent.png", "file.not_found"),
        (tmp_path, "edge.image_unreadable"),
        (cut, "image.unreadable"),
    ]
    assert all(str(f.file) in f.message(language) for f in findings.failures for language in ("zh", "en"))


async def test_several_releases_see_one_preparation_for_each_kind_of_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_node.recognition import recogniser
    from protocols import imaging

    specs: list[InputSpec] = []
    prepare = imaging.prepare

    def counted(image: Any, spec: InputSpec, crop: Box | None) -> Any:
        specs.append(spec)
        return prepare(image, spec, crop)

    monkeypatch.setattr(recogniser, "prepare", counted)
    first, second = make_release(), make_release("skin")
    third = make_release("eyes", input=InputSpec(64, (-1.0, 1.0)))
    manifests = [r.manifest for r in (first, second, third)]
    findings = await service().recognise([Picture(photo(tmp_path, RED))], manifests, None)
    assert sorted(r["disease"] for r in findings.results) == ["eyes", "malaria", "skin"]
    assert specs == [first.manifest.input, third.manifest.input]


async def test_a_model_that_cannot_run_is_not_blamed_on_the_picture(tmp_path: Path) -> None:
    from protocols.errors import ProtocolError

    class Broken(ColourRunner):
        def logits(self, *_: Any) -> Any:
            raise ProtocolError("stage.unusable")

    broken = RecognitionService(Recogniser(Broken()), None, NoKnowledge(), 1.0)
    with pytest.raises(ProtocolError):
        await broken.recognise([Picture(photo(tmp_path, RED))], [make_release().manifest], None)


def test_crop_is_read_with_spaces() -> None:
    assert parse_crop(" 1, 2,30 ,40") == Box(1, 2, 30, 40)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "-1,2,3,4", "1,2,0,4", "1.5,2,3,4", "a,b,c,d", "１,2,3,4"])
def test_a_malformed_crop_is_a_usage_error(text: str) -> None:
    with pytest.raises(EdgeError) as caught:
        parse_crop(text)
    assert (caught.value.code, caught.value.kind.exit_code) == ("edge.crop_malformed", 2)
