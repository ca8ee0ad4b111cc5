"""The model card: what must stand in it, in both languages, and what must not."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.bootstrap import initialise, open_coordinator
from coordinator.config import Config
from coordinator.intake.shortcuts import Audit
from coordinator.releases.cards import thresholds
from coordinator.releases.cards.bundle import metadata
from coordinator.releases.cards.content import card
from coordinator.releases.cards.facts import CardFacts, Version, gather, headline
from coordinator.releases.cards.ladder import ABOUT_FRONTIER
from coordinator.reports import markdown, page
from coordinator.reports.document import Alert, Document, Plot, Words
from coordinator.store.blobs import FolderBlobs
from coordinator.training import metrics, oof
from coordinator.training.ladder.climb import REASONS
from coordinator.training.recalibration import recalibrate
from protocols.errors import Language
from protocols.notice import NOTICE
from protocols.novelty import Residuals
from tests.support.answers import PATIENT, evaluation, rung, trained, training
from tests.support.html import Page

RELEASE = {
    "state": "proposed",
    "notes": "First one",
    "gates": [{"name": "labels_mapped", "ok": True, "detail": "every label has an entry"}],
    "approvals": [{"key": "abcdef0123456789", "on": "2026-01-03"}],
}


def facts(release: dict[str, Any] | None = None, **options: Any) -> CardFacts:
    manifest, found = trained(**options)
    now = Version(2, manifest.created, headline(manifest), "malaria", 240, "proposed", "")
    before = Version(1, "2025-01-01", metrics.Interval(0.5, 0.4, 0.6), "malaria", 100, "released", "First one")
    return CardFacts(
        replace(manifest, version=2),
        replace(manifest, version=2),
        training(),
        "Hospital",
        release,
        (now, before),
        found,
    )


def words(value: Any) -> list[Words]:
    """Every text in both languages that a document holds."""
    if isinstance(value, Words):
        return [value]
    if isinstance(value, tuple):
        return [w for item in value for w in words(item)]
    if is_dataclass(value):
        return [w for field in fields(value) for w in words(getattr(value, field.name))]
    return []


def titles(document: Document) -> list[str]:
    return [section.title.en for section in document.sections]


def alerts(document: Document) -> str:
    return " ".join(w.en for w in words(document.alerts))


def test_what_tells_the_class_without_looking_stands_in_the_card() -> None:
    found = Audit("size", metrics.Interval(0.8, 0.7, 0.9), 0.5, 0.005, ())
    assert "told from the size alone: balanced accuracy 0.80" in alerts(card(replace(facts(), shortcuts=(found,))))
    assert "told from" not in alerts(card(facts()))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_card_holds_all_that_a_reader_must_know(language: Language) -> None:
    given = facts(RELEASE)
    first_rung = {"en": "last pool", "zh": "最后一层池化"}[language]
    document = card(given)
    assert titles(document) == [
        "At a glance", "Intended use, and what it is not for", "Training data", "Method and backbone",
        "Performance on unseen groups", "Rungs that were compared", "Calibration and coverage",
        "What it refuses to answer", "Worst errors", "Labels, gates and approvals", "Changes", "References",
    ]  # fmt: skip
    for rendered in (markdown.render(document, language), Page(page.render(document, language)).text):
        for wanted in (
            NOTICE["en"], NOTICE["zh"], "Hospital", "2026-01-02 03:04 UTC", "nsfwjs-4.4.0", "d" * 64, "MIT", "mixed7_avg",
            "parasitized", "uninfected", first_rung, f"{given.manifest.calibration.temperature:.4f}", "labels_mapped",
            "abcdef0123456789", "First one", f"{given.manifest.metrics['ece']:.3f}",
        ):  # fmt: skip
            assert wanted in rendered
        assert rendered.index(NOTICE["zh"]) < 400


def test_card_shows_five_plots_and_each_has_words_for_those_who_do_not_see() -> None:
    html = page.render(card(facts()), "en")
    assert len(re.findall(r'<svg role="img" aria-label="[^"]+"', html)) == 5 == Page(html).tags.count("figcaption")


@pytest.mark.parametrize(
    "options", [{}, {"backbone": "random-1"}, {"names": ("a", "b", "c"), "images": 45, "groups": 6}]
)
def test_both_languages_are_complete(options: dict[str, Any]) -> None:
    given = replace(facts(**options), manifest=replace(facts(**options).manifest, unmapped_reason="a study"))
    for found in words(card(given)):
        assert found.en.strip() and found.zh.strip()
        assert not re.search(r"[\u4e00-\u9fff]", found.en), found.en
        same = [re.sub(r"[\s,、]+", " ", text) for text in (found.en, found.zh)]  # lists of data
        if same[0] != same[1] and re.search("[A-Za-z]{3}", found.en):
            assert re.search(r"[\u4e00-\u9fff]", found.zh), found.en


def test_the_ladder_says_what_each_rung_gained_and_why_it_was_kept() -> None:
    text = markdown.render(card(facts()), "en")
    assert "chosen taps (published)" in text and "+0.100 (+0.050 to +0.150)" in text
    assert REASONS["contains"][0] in text and REASONS["not_shown"][0] in text
    assert "chosen taps in 4 of 5, last pool in 1 of 5 folds" in text
    assert "on the frontier" in text, "where there are no pictures, the table says the same"
    assert REASONS["not_shown"][1] in markdown.render(card(facts()), "zh")


def test_backbones_that_were_compared_stand_in_the_card() -> None:
    given = facts()
    rows = [
        {**rung("x", 0.9, 1, "first", True), "backbone": "nsfwjs-4.4.0", "rung": "chosen taps"},
        {**rung("x", 0.91, 1, "not_shown", False, 0.01), "backbone": "file:0123456789abcdef", "rung": "last pool"},
    ]
    text = markdown.render(card(replace(given, training={**given.training, "backbones": rows})), "en")
    assert "nsfwjs-4.4.0 (published)" in text and "file:0123456789abcdef" in text
    assert "file:0123456789abcdef" not in markdown.render(card(given), "en")


def test_versions_from_before_the_ladder_have_a_card_too() -> None:
    old = {
        "name": "mixed7 avg",
        "taps": ["mixed7_avg"],
        "balanced_accuracy": 0.9,
        "low": 0.8,
        "high": 1.0,
        "bytes": 5000,
    }
    given = replace(facts(), training={"taps": ["mixed7_avg"], "rungs": [old]})
    text = markdown.render(card(given), "en")
    assert "mixed7 avg (published)" in text and "0.900 (0.800 to 1.000)" in text


def test_figures_of_the_card_are_those_of_the_manifest() -> None:
    given = facts(repeats=3)
    text = markdown.render(card(given), "en")
    stated = given.manifest.metrics["balanced_accuracy"]
    assert f"{stated['value']:.3f} ({stated['low']:.3f} to {stated['high']:.3f})" in text
    for row in given.manifest.metrics["per_class"].values():
        low, high = row["intervals"]["sensitivity"].values()
        assert f"{row['sensitivity']:.3f} ({low:.3f} to {high:.3f})" in text


def test_neither_people_nor_files_nor_folders_show_up(tmp_path: Path) -> None:
    _, found = trained()
    names = np.array([f"{PATIENT}-{g}" for g in found.groups])
    reference = oof.keep(FolderBlobs(tmp_path), found.images, names, found.truth, found.logits)
    given = replace(facts(), out_of_fold=oof.load(FolderBlobs(tmp_path), reference))
    for rendered in (
        markdown.render(card(given), "en"), page.render(card(given), "zh"), json.dumps(metadata(given))
    ):  # fmt: skip
        assert PATIENT not in rendered and str(tmp_path) not in rendered
        assert not re.search(r"\.(png|jpe?g|tiff?|dcm)\b", rendered)
        assert not re.search(r"(?<![\w<])/(home|work|tmp|root|Users)/", rendered)
        assert all(image not in rendered for image in found.images), "whole digests are for the coordinator alone"


def test_random_backbone_is_said_first_and_loudly() -> None:
    document = card(facts(backbone="random-1"))
    assert document.alerts[0].grave and "recognises NOTHING" in alerts(document)
    assert page.render(document, "zh").index("没有任何识别能力") < page.render(document, "zh").index("<h2>")
    assert not any(alert.grave for alert in card(facts()).alerts)


def test_small_and_lopsided_classes_are_warned_of() -> None:
    given = facts(names=("a", "b", "c"), images=45, groups=6)
    assert "Fewer than 20 images of: a, b, c" in alerts(card(given))
    assert "Fewer than 10 groups" in alerts(card(given))
    rows = {"parasitized": {"n": 500}, "uninfected": {"n": 30}}
    per_class = {k: {**facts().manifest.metrics["per_class"][k], **row} for k, row in rows.items()}
    lopsided = replace(facts().manifest, metrics={**facts().manifest.metrics, "per_class": per_class})
    assert "more than 10 times" in alerts(card(replace(facts(), manifest=lopsided)))
    assert alerts(card(facts())) == ""


def test_labels_without_an_entry_stand_there_with_the_reason() -> None:
    manifest = facts().manifest
    labels = (replace(manifest.labels[0], entry=None), manifest.labels[1])
    given = replace(facts(), manifest=replace(manifest, labels=labels, unmapped_reason="no entry written yet"))
    assert "parasitized" in alerts(card(given)) and "no entry written yet" in alerts(card(given))


def test_without_kept_answers_the_figures_stay_and_the_plots_go() -> None:
    document = card(replace(facts(), out_of_fold=None))
    assert "not kept" in alerts(document) and "Worst errors" not in titles(document)
    plots = [block for section in document.sections for block in section.blocks if isinstance(block, Plot)]
    assert [p.caption for p in plots] == [ABOUT_FRONTIER], "its points are in the training document"
    assert "0.5" in markdown.render(document, "en")


def test_answers_that_are_not_those_of_the_figures_are_not_shown() -> None:
    other = trained(images=240)[1]
    wrong = replace(other, logits=-other.logits)
    assert "not kept" in alerts(card(replace(facts(), out_of_fold=wrong)))


def test_model_that_was_brought_ready_trained_has_a_card_that_says_so() -> None:
    bare = replace(facts().manifest, metrics={}, data={}, backbone=None, novelty=None)
    given = CardFacts(
        bare, bare, {"dataset": "x"}, "Hospital", None, (Version(1, "2026", None, "", None, None, ""),), None
    )
    document = card(given)
    assert "ready-trained" in alerts(document) and "Rungs that were compared" not in titles(document)
    for language in ("en", "zh"):
        Page(page.render(document, language))
        assert "None" not in markdown.render(document, language)
    assert any("answers for any picture" in w.en for w in words(document))
    assert "eval_metrics" in metadata(given)


def test_recalibrated_version_shows_the_site_and_says_whose_plots_they_are() -> None:
    given = facts()
    site = {"balanced_accuracy": 0.7, "ece": 0.2, "coverage": 0.8}
    record = {"from": "malaria@2", "images": 80, "groups": 20, "before": site, "after": {**site, "ece": 0.05}}
    moved = replace(given.manifest, version=3, calibration=replace(given.manifest.calibration, bias=(0.5, -0.5)))
    document = card(replace(given, manifest=moved, training={**given.training, "recalibrated": record}))
    assert "malaria@2" in alerts(document) and "Recalibration for a site" in titles(document)
    text = markdown.render(document, "en")
    assert "| expected calibration error | 0.200 | 0.050 |" in text and "+0.5000" in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_card_says_how_each_threshold_was_found(language: Language) -> None:
    given = facts()
    text = markdown.render(card(given), language)
    for wanted in ("97%", "75%", "1.5", "99.6%", "25%", "90%", "240"):
        assert wanted in text
    bare = replace(given, manifest=replace(given.manifest, methods={}))
    assert "how it was found" not in markdown.render(card(bare), "en")
    newer = replace(given, manifest=replace(given.manifest, methods={"layout": {"method": "by_oracle"}}))
    assert "by_oracle" in markdown.render(card(newer), language)


def test_every_method_of_training_and_of_a_site_has_words_in_both_languages() -> None:
    given, _ = trained()
    darker = replace(given, quality=replace(given.quality, sharpness_min=9.0))
    far = evaluation(given, np.arange(200) % 2, np.arange(200).astype(str))
    strange = [replace(p, residuals=Residuals(9.0, 9.0)) for p in far.predictions]
    moved = recalibrate(darker, replace(far, predictions=strange)).manifest
    assert all(given.methods[name] != moved.methods[name] for name in given.methods)
    for manifest in (given, moved):
        shown = thresholds.rows(manifest, thresholds.CALIBRATION | thresholds.LIMITS)
        assert len(shown) == len(manifest.methods) == 6
        for _, how in shown:
            assert isinstance(how, Words) and "{" not in how.en + how.zh and re.search(r"[\u4e00-\u9fff]", how.zh)


def test_withdrawn_release_says_so_first() -> None:
    document = card(facts({**RELEASE, "state": "withdrawn", "reason": "wrong labels"}))
    assert document.alerts[0].grave and "wrong labels" in alerts(document)


def test_changes_name_earlier_versions_their_notes_and_the_difference() -> None:
    given = facts()
    assert given.versions[0].headline is not None
    text = markdown.render(card(given), "en")
    assert f"{given.versions[0].headline.value - 0.5:+.3f}" in text and "First one" in text


def test_never_excluded_labels_are_named() -> None:
    given = facts()
    loose = replace(given.manifest, calibration=replace(given.manifest.calibration, thresholds=(1.0, 0.4)))
    found = [b for s in card(replace(given, manifest=loose)).sections for b in s.blocks if isinstance(b, Alert)]
    assert any("parasitized" in w.en and "every prediction set" in w.en for w in words(tuple(found)))


def test_bundle_metadata_uses_the_names_of_the_specification() -> None:
    found = metadata(facts())
    assert set(found) == {
        "version", "changelog", "task", "description", "authors", "copyright", "data_source", "data_type", "image_classes",
        "label_classes", "pred_classes", "eval_metrics", "intended_use", "references", "network_data_format",
    }  # fmt: skip
    image, scores = found["network_data_format"]["inputs"]["image"], found["network_data_format"]["outputs"]["pred"]
    specifier = {
        "type",
        "format",
        "num_channels",
        "spatial_shape",
        "dtype",
        "value_range",
        "is_patch_data",
        "channel_def",
    }
    assert specifier <= set(image) and specifier <= set(scores)
    assert scores["channel_def"] == {"0": "parasitized", "1": "uninfected"}
    assert found["version"] == "2" and found["changelog"]["1"] == "First one"
    assert NOTICE["en"] in found["description"] and all(isinstance(r, str) for r in found["references"])
    json.dumps(found, allow_nan=False)


async def test_facts_come_from_the_store(tmp_path: Path) -> None:
    await initialise(tmp_path, Config("Hospital", 1))
    manifest, found = trained()
    async with open_coordinator(tmp_path) as coordinator:
        home = coordinator.home
        reference = oof.keep(
            FolderBlobs(home.out_of_fold), found.images, found.groups.astype(str), found.truth, found.logits
        )
        first = {**training(), "metrics": manifest.metrics, "out_of_fold": reference}
        await coordinator.models.add(manifest, first)
        await coordinator.models.add(replace(manifest, version=2), {**first, "recalibrated": {"from": "malaria@1"}})
        newest = await gather("malaria", coordinator.models, coordinator.releases, home, coordinator.config.name)
        older = await gather("malaria@1", coordinator.models, coordinator.releases, home, coordinator.config.name)
    assert (newest.manifest.version, newest.trained.version, newest.maker) == (2, 1, "Hospital")
    assert [v.number for v in newest.versions] == [2, 1] and [v.number for v in older.versions] == [1]
    assert newest.release is None and older.out_of_fold is not None
    assert not FolderBlobs(home.artifacts).has(reference["sha256"]), "artifacts are served to anyone"
