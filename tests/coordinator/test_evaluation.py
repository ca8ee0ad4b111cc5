"""What ``evaluate`` prints, warns of and writes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.reports import page
from coordinator.reports.evaluation import report, scored
from coordinator.training import evaluation
from coordinator.training.evaluation import Evaluation, Prediction, document, write_predictions
from protocols.manifest import Backbone, ReleaseManifest
from protocols.recognition import answer
from tests.support import answers
from tests.support.engine import InlineEngine
from tests.support.html import Page
from tests.support.pictures import write_set

MANIFEST, _ = answers.trained()
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def example(images: int = 100, groups: int | None = 20, classes: int = 2, blurred: int = 10) -> Evaluation:
    truth = np.arange(images) % classes
    grouped = None if groups is None else np.array([f"g{i % groups}" for i in range(images)])
    return answers.evaluation(MANIFEST, truth, grouped, blurred)


def codes(found: Evaluation, manifest: ReleaseManifest = MANIFEST, trained_on: set[str] | None = None) -> set[str]:
    return {w["code"] for w in document(manifest, found, trained_on or set())["warnings"]}


def test_headline_counts_every_image_and_answered_only_stands_beside_it() -> None:
    found = example()
    result = document(MANIFEST, found, set())
    right = found.scores.argmax(axis=1) == found.truth
    recognised = np.array([p.answer.outcome == "recognised" for p in found.predictions])
    assert result["n"] == 100 and result["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
    assert result["answered_only"]["n"] == recognised.sum() < 91
    assert result["answered_only"]["share"] == pytest.approx(recognised.mean())
    assert result["answered_only"]["accuracy"] == pytest.approx(right[recognised].mean(), abs=1e-4)
    assert sum(result["outcomes"].values()) == 100 and result["outcomes"]["poor_quality"] == 10


def test_document_is_as_the_contract_says() -> None:
    result = document(MANIFEST, example(), set())
    assert set(result) >= {
        "model", "version", "n", "groups", "accuracy", "balanced_accuracy", "auc_macro", "ece", "coverage", "outcomes",
        "per_class", "confusion",
    }  # fmt: skip
    assert set(result["balanced_accuracy"]) == {"value", "low", "high"}
    assert set(result["coverage"]) == {"stated", "measured", "mean_set_size"}
    assert isinstance(result["auc_macro"], float) and isinstance(result["ece"], float)
    for name in ("parasitized", "uninfected"):
        row = result["per_class"][name]
        assert {"sensitivity", "specificity", "n"} <= set(row)
        for figure in ("sensitivity", "specificity", "auc"):
            assert row["intervals"][figure]["low"] <= row[figure] <= row["intervals"][figure]["high"]
        assert sum(result["confusion"][name].values()) == row["n"] == 50
    json.dumps(result, allow_nan=False)


def test_every_reason_to_doubt_the_figures_is_said_in_both_languages() -> None:
    seen = {p.sha256 for p in example().predictions[:3]}
    random = replace(MANIFEST, backbone=Backbone("random-1", "d" * 64, "none", "random"))
    unreadable = replace(example(), rejected=[{"file": "a.png", "code": "image.unreadable"}])
    assert codes(example()) == set()
    assert codes(example(), trained_on=seen) == {"evaluate.seen_in_training"}
    assert codes(example(groups=None)) == {"evaluate.no_groups"}
    assert codes(example(groups=1)) == {"evaluate.one_group"}
    assert codes(example(groups=4)) == {"evaluate.few_groups"}
    assert codes(example(classes=1)) == {"evaluate.class_missing"}
    assert codes(example(blurred=100)) == {"evaluate.none_answered"}
    assert codes(example(), random) == {"evaluate.random_backbone"}
    assert codes(unreadable) == {"evaluate.rejected"}
    for warning in document(random, example(groups=None, classes=1, blurred=100), seen)["warnings"]:
        assert warning["text"] and any("\u4e00" <= c <= "\u9fff" for c in warning["text_zh"])


@pytest.mark.parametrize(
    "found",
    [example(groups=1), example(classes=1), example(images=1, groups=None, classes=1, blurred=0), example(blurred=100)],
    ids=["one group", "one class", "one image", "nothing answered"],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_poor_sets_give_nulls_and_a_report_never_a_fault(found: Evaluation, language: str) -> None:
    result = document(MANIFEST, found, set())
    json.dumps(result, allow_nan=False)
    assert result["warnings"]
    Page(page.render(report(MANIFEST, found, result, "set", NOW), language))  # type: ignore[arg-type]


def test_one_group_gives_null_bounds() -> None:
    result = document(MANIFEST, example(groups=1), set())
    assert result["balanced_accuracy"]["low"] is None and result["balanced_accuracy"]["value"] > 0.5
    assert result["auc_macro_interval"] == {"low": None, "high": None}


def test_missing_class_gives_null_area_and_sensitivity() -> None:
    result = document(MANIFEST, example(classes=1), set())
    assert result["auc_macro"] is None and result["auc_macro_interval"] is None
    assert result["per_class"]["uninfected"]["sensitivity"] is None
    assert result["per_class"]["parasitized"]["specificity"] is None


def test_predictions_keep_their_columns_and_gain_three(tmp_path: Path) -> None:
    found = example()
    write_predictions(tmp_path / "p.csv", MANIFEST, found)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == [
        "file", "group", "label", "predicted", "outcome", "parasitized", "uninfected", "prediction_set", "reasons", "novelty"
    ]  # fmt: skip
    assert len(rows) == 101
    for row, prediction in zip(rows[1:], found.predictions, strict=True):
        assert row[4] == prediction.answer.outcome
        assert len([x for x in row[7].split("|") if x]) == len(prediction.answer.in_set)
        assert tuple(x for x in row[8].split("|") if x) == prediction.answer.reasons
        assert float(row[9]) == pytest.approx(prediction.answer.novelty, abs=1e-3)


def test_report_names_the_worst_files_and_has_the_plots() -> None:
    found = example()
    result = document(MANIFEST, found, set())
    read = Page(page.render(report(MANIFEST, found, result, "my clinic", NOW), "en"))
    worst = scored(MANIFEST, found).mistakes()[0]
    assert worst.image in found.files and worst.image in read.text and "my clinic" in read.text
    assert read.tags.count("svg") == 4 and "poor quality" in read.text


def test_unreadable_files_are_listed_in_the_report() -> None:
    found = replace(example(), rejected=[{"file": "broken/x.png", "code": "image.unreadable"}])
    read = Page(page.render(report(MANIFEST, found, document(MANIFEST, found, set()), "s", NOW), "zh"))
    assert "broken/x.png" in read.text and "image.unreadable" in read.text


def pretend(monkeypatch: pytest.MonkeyPatch, row: list[float]) -> None:
    """Every picture gets these logits."""

    def predict(task: object) -> Prediction:
        logits = np.array(row, np.float32)
        quality, residuals = answers.SHARP, answers.Residuals(1.0, 1.0)
        return Prediction(answer(MANIFEST, logits, quality, residuals), logits, quality, residuals, "0" * 64)

    monkeypatch.setattr(evaluation, "predict", predict)


def run(source: Path, groups: Path | None = None) -> Evaluation:
    return evaluation.evaluate(MANIFEST, Path("unused"), source, groups, InlineEngine(), lambda done, total: None)


def test_a_model_that_answers_no_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [float("nan"), 1.0])
    with pytest.raises(CoordinatorError) as caught:
        run(write_set(tmp_path / "set", 2))
    assert caught.value.code == "train.bad_features" and "4 image" in caught.value.message()


def test_a_folder_that_is_no_label_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "predict", lambda task: pytest.fail("ran"))
    folder = write_set(tmp_path / "set", 2)
    (folder / "uninfected").rename(folder / "Healthy")
    (folder / "groups.csv").unlink()
    with pytest.raises(CoordinatorError) as caught:
        run(folder)
    assert caught.value.code == "evaluate.labels_differ"
    assert "Healthy" in caught.value.message() and "uninfected" in caught.value.message()


def test_one_class_folder_alone_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 2)
    for path in (folder / "uninfected").iterdir():
        path.unlink()
    (folder / "groups.csv").unlink()
    with pytest.raises(CoordinatorError) as caught:
        run(folder)
    assert caught.value.code == "intake.no_classes"


def test_groups_must_name_every_image_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [1.0, 0.0])
    folder = write_set(tmp_path / "set", 2)
    table = tmp_path / "some.csv"
    table.write_text("file,group\nuninfected/0.png,a\n", "utf-8")
    with pytest.raises(CoordinatorError) as caught:
        run(folder, table)
    assert caught.value.code == "intake.groups_missing"
    (folder / "groups.csv").unlink()
    assert "evaluate.no_groups" in codes(run(folder))
