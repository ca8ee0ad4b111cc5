"""``model card`` and ``evaluate`` as a person runs them, on a model that recognises nothing and says so."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Network
from tests.support.commands import inside, run
from tests.support.html import Page

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("language", "loud"), [("en", "recognises NOTHING"), ("zh", "没有任何识别能力")])
def test_card_in_every_form(network: Network, tmp_path: Path, language: str, loud: str) -> None:
    html, bundle = tmp_path / "card.html", tmp_path / "metadata.json"
    arguments = ("--html", str(html), "--bundle-metadata", str(bundle), "--lang", language)
    answer = run("medmesh-coordinator", "model", "card", "malaria@1", *arguments, home=network.home)
    assert answer["model"] == "malaria@1" and loud in answer["card"] and answer["html"] == str(html)
    page = Page(html.read_text("utf-8"))
    assert loud in page.text and page.tags.count("svg") == 5
    assert json.loads(bundle.read_text("utf-8"))["version"] == "1"
    assert "labels_mapped" in page.text, "the gates of its release"
    files = [p.name for p in network.images.rglob("*.png")]
    groups = {row["group"] for row in csv.DictReader((network.images / "groups.csv").read_text("utf-8").splitlines())}
    assert files and groups
    for text in (answer["card"], page.text, bundle.read_text("utf-8")):
        assert not any(name in text for name in files)
        assert str(network.home) not in text and str(network.images) not in text
        assert not any(f" {group} " in text for group in groups)


def test_out_of_fold_answers_are_kept_but_never_served(network: Network) -> None:
    reference = network.trained["out_of_fold"]
    base = network.home / "coordinator"
    assert (base / "out-of-fold" / reference["sha256"][:2] / reference["sha256"]).stat().st_size == reference["size"]
    assert not list((base / "artifacts").rglob(reference["sha256"]))
    assert reference["sha256"] not in {a["sha256"] for a in network.trained["artifacts"]}


def test_evaluation_with_report_and_predictions(network: Network, tmp_path: Path) -> None:
    report, table = tmp_path / "report.html", tmp_path / "predictions.csv"
    arguments = ("--on", str(network.images), "--report", str(report), "--save-predictions", str(table))
    result = run("medmesh-coordinator", "evaluate", "malaria", *arguments, home=network.home)
    assert result["n"] == 120 and result["seen_in_training"] == 120
    assert {"evaluate.random_backbone", "evaluate.seen_in_training"} <= {w["code"] for w in result["warnings"]}
    assert Page(report.read_text("utf-8")).tags.count("svg") == 4
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120 and {"prediction_set", "reasons", "novelty"} <= set(rows[0])


def test_evaluation_without_groups_says_what_its_intervals_are(network: Network, tmp_path: Path) -> None:
    copy = tmp_path / "cells"
    shutil.copytree(network.images, copy, ignore=shutil.ignore_patterns("groups.csv"))
    result = run("medmesh-coordinator", "evaluate", "malaria", "--on", str(copy), home=network.home)
    assert not result["groups_given"] and "evaluate.no_groups" in {w["code"] for w in result["warnings"]}


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("model", "card", "malaria", "--html", "{missing}/card.html"), "file.not_found", 4),
        (("model", "card", "malaria", "--html", "{folder}"), "file.wrong_kind", 3),
        (("model", "card", "nothing"), "model.unknown", 4),
        (("evaluate", "malaria", "--on", "{images}", "--report", "{missing}/r.html"), "file.not_found", 4),
        (("evaluate", "malaria", "--on", "{missing}"), "file.not_found", 4),
        (("evaluate", "malaria", "--on", "{renamed}"), "evaluate.labels_differ", 3),
    ],
)
def test_refusals_are_sentences(
    network: Network, tmp_path: Path, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    renamed = tmp_path / "renamed"
    for label in ("parasitized", "Healthy"):
        (renamed / label).mkdir(parents=True)
        shutil.copy(next((network.images / "parasitized").iterdir()), renamed / label)
    places = {"missing": tmp_path / "none", "folder": tmp_path, "images": network.images, "renamed": renamed}
    answer = inside("medmesh-coordinator", *(a.format(**places) for a in arguments), home=network.home)
    assert (answer.error["code"], answer.code) == (code, exit_code)
    assert "Traceback" not in answer.stderr
