"""Plots, Markdown and pages, on what a hostile or merely unlucky data set puts into them."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from coordinator.reports import markdown, page, plots, sections
from coordinator.reports.document import (
    Alert,
    Bullets,
    Document,
    Facts,
    Paragraph,
    Plot,
    Section,
    Table,
    Words,
    interval,
)
from coordinator.reports.scored import Scored, roc
from coordinator.training import metrics
from protocols.errors import Language
from protocols.manifest import Calibration
from protocols.notice import NOTICE
from protocols.recognition import scores
from tests.conftest import ROOT
from tests.support.answers import logits
from tests.support.html import Page

HOSTILE = ("<script>alert(1)</script>", "a|b `c` *d* [e](f)", "疟原虫 & Ko.", 'x" onload="y')


def scored(names: tuple[str, ...] = HOSTILE, repeats: int = 1, images: int = 200, missing: int | None = None) -> Scored:
    chance = np.random.default_rng(4)
    truth = chance.integers(0, len(names), images)
    if missing is not None:
        truth[truth == missing] = (missing + 1) % len(names)
    count = len(names)
    p = scores(logits(truth, count, repeats), Calibration(1.0, 0.9, (1.0,) * count, (0.0,) * count))
    ids = tuple(f"{i:012x}" for i in range(images))
    return Scored(names, ids, truth, chance.integers(0, 30, images), p, p > 0.2)


def document(found: Scored) -> Document:
    figures = metrics.describe(found.truth, found.scores, found.groups)
    return Document(
        Words("A title <b>", "标题 <b>"),
        (Alert(Words("grave", "严重"), grave=True),),
        (
            Section(Words("Figures", "指标"), (sections.by_class(figures, found.names),)),
            Section(Words("Plots", "图"), sections.discrimination(found, figures)),
            Section(Words("Sets", "预测集"), sections.calibration(found, figures, 0.9)),
            sections.worst(found, Words("image", "图像"), Words("Look.", "请看。")),
        ),
    )


def test_roc_curve_is_that_of_scikit_learn() -> None:
    found = scored()
    for label in range(4):
        alarms, hits, _ = roc_curve(found.truth == label, found.scores[0, :, label], drop_intermediate=False)
        curve = found.roc(label)
        assert curve is not None
        assert (curve.false_alarms == pytest.approx(alarms)) and (curve.sensitivity == pytest.approx(hits))


def test_equal_scores_make_one_sloping_step() -> None:
    curve = roc(np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.1]))
    assert curve.false_alarms.tolist() == [0, 0.5, 1] and curve.sensitivity.tolist() == [0, 1, 1]


def test_mean_curve_of_repeats_keeps_the_mean_area() -> None:
    found = scored(repeats=3)
    figures = metrics.describe(found.truth, found.scores, found.groups)
    curve = found.roc(0)
    assert curve is not None and figures.per_class[0].auc is not None
    area = float(np.trapezoid(curve.sensitivity, curve.false_alarms))
    assert area == pytest.approx(figures.per_class[0].auc.value, abs=0.01)
    assert (np.diff(curve.sensitivity) >= -1e-12).all()


def test_confusion_is_that_of_scikit_learn_and_means_over_repeats() -> None:
    found = scored(repeats=2)
    expected = np.mean(
        [confusion_matrix(found.truth, run.argmax(axis=1), labels=range(4)) for run in found.scores], axis=0
    )
    assert (found.confusion() == expected).all()


def test_coverage_counts_sets_as_a_reader_would() -> None:
    found = scored()
    rows, overall = found.coverage()
    mine = found.truth == 1
    held = found.in_set[0, mine, 1]
    assert rows[1] is not None and rows[1].covered is not None and overall.covered is not None
    assert rows[1].covered.value == pytest.approx(held.mean())
    assert overall.size == pytest.approx(found.in_set.sum(axis=2).mean())
    assert overall.none + overall.one + overall.several == pytest.approx(1)


def test_worst_errors_are_wrong_and_sorted_and_answers_come_before_refusals() -> None:
    found = scored()
    wrong = found.mistakes()
    assert len(wrong) == (found.scores[0].argmax(axis=1) != found.truth).sum()
    leads = [m.score_of_given - m.score_of_truth for m in wrong]
    assert leads == sorted(leads, reverse=True) and all(m.truth != m.given for m in wrong)
    outcomes = tuple("recognised" if i % 2 else "unsure" for i in range(len(found.truth)))
    answered = Scored(
        found.names, found.ids, found.truth, found.groups, found.scores, found.in_set, outcomes
    ).mistakes()
    order = [m.outcome for m in answered]
    assert order == sorted(order) and set(order) == {"recognised", "unsure"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_well_formed_fetches_nothing_and_escapes_names(language: Language) -> None:
    found = Page(page.render(document(scored()), language))
    assert found.language == {"en": "en", "zh": "zh-CN"}[language]
    assert found.tags.count("svg") == 4
    assert all(n in found.text for n in HOSTILE)
    assert all(NOTICE[x] in found.text for x in ("en", "zh"))


@pytest.mark.parametrize("count", [2, 12, 40])
def test_plots_can_be_drawn_for_few_and_many_classes_and_where_one_is_missing(count: int) -> None:
    names = tuple(f"非常长的类别名称 number {i} of a very long list" for i in range(count))
    for missing in (None, 0):
        found = scored(names, images=400, missing=missing)
        alone = count == 2 and missing is not None  # one class against nothing has no ROC curve
        assert Page(page.render(document(found), "zh")).tags.count("svg") == (3 if alone else 4)


def test_axes_are_in_the_language_of_the_page() -> None:
    english, chinese = (Page(page.render(document(scored()), x)).text for x in ("en", "zh"))
    assert "Sensitivity" in english and "灵敏度" not in english
    assert "灵敏度" in chinese and "Sensitivity" not in chinese


def test_same_content_gives_the_same_bytes() -> None:
    assert page.render(document(scored()), "en") == page.render(document(scored()), "en")


def test_text_of_a_plot_stays_text_in_the_readers_fonts() -> None:
    found = scored()
    svg = plots.confusion(found.confusion(), found.names, "zh")
    assert "真实类别" in svg and "font-family" not in svg and "DejaVu" not in svg
    assert re.search(r'^<svg role="img" aria-label="混淆矩阵" viewBox=', svg)


def test_markdown_tables_keep_their_columns_whatever_stands_in_a_cell() -> None:
    text = markdown.render(document(scored()), "en")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows and all(len(re.split(r"(?<!\\)\|", row)) == len(re.split(r"(?<!\\)\|", rows[0])) for row in rows[:6])
    assert "<script>" not in text and "\\<script\\>" in text
    assert all(NOTICE[x] in text for x in ("en", "zh")) and "<svg" not in text


def test_every_kind_of_block_is_rendered_both_ways() -> None:
    plot = Plot(lambda language: "<svg></svg>", Words("caption", "图注"), Table(("a",), (("instead",),)))
    blocks = (
        Paragraph("paragraph"), Alert("alert"), Bullets(("bullet",)), Facts(((Words("name", "名称"), "fact"),)),
        Table(("head", "ing"), (("cell", "other"),)), plot,
    )  # fmt: skip
    whole = Document(Words("t", "题"), (), (Section(Words("s", "节"), blocks),))
    text, html = markdown.render(whole, "en"), page.render(whole, "en")
    for word in ("paragraph", "alert", "bullet", "fact", "cell", "caption"):
        assert word in text and word in html
    assert "instead" in text and "instead" not in html
    Page(html)


def test_a_figure_without_an_interval_says_so_by_leaving_it_out() -> None:
    assert interval(None) == "—"
    assert interval(metrics.Interval(0.5, None, None)) == "0.500"
    both = interval(metrics.Interval(0.5, 0.4, 0.6))
    assert isinstance(both, Words) and "0.400 to 0.600" in both.en and "0.400–0.600" in both.zh


@pytest.mark.parametrize(("name", "cells"), [("short", 18), ("x" * 40, 18), ("疟原虫" * 9, 18), ("a疟" * 12, 17)])
def test_shortened_names_fit_and_keep_both_ends(name: str, cells: int) -> None:
    found = plots.shortened(name, cells)
    assert plots.width(found) <= cells
    assert found == name or (found[0] == name[0] and found[-1] == name[-1] and "…" in found)


@pytest.mark.parametrize("module", ["coordinator.cli", "coordinator.web.server", "coordinator.reports.page"])
def test_plotting_is_loaded_only_where_something_is_drawn(module: str) -> None:
    code = f"import sys, {module}; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
