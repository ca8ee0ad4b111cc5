"""What people read about an answer, in both languages."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console as RichConsole

from edge_node.cli.findings import print_findings
from edge_node.recognition import wording
from protocols.console import Console
from protocols.errors import Language
from protocols.recognition import Outcome, Reason
from tests.edge_node.recognition.test_recognition import SEED

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def result(outcome: str = "recognised", *reasons: str, **changes: Any) -> dict[str, Any]:
    """One element of ``results``."""
    document = {
        "image": "photo.png",
        "rank": 1,
        "disease": "malaria",
        "release": {"model": "malaria", "version": 1},
        "labels": [
            {"label": "red", "name": SEED["malaria"]["name"], "score": 0.9},
            {"label": "blue", "name": {"zh": "正常", "en": "Normal cell"}, "score": 0.1},
        ],
        "prediction_set": ["red"],
        "considered": ["red"],
        "outcome": outcome,
        "reasons": list(reasons),
        "novelty": 0.5,
        "explanation": None,
        "explanation_reason": "not_asked",
        "diagnosis": {"source": "replica", "kb_version": "kb-1", "entries": [SEED["malaria"]], "unmapped": []},
        "timing_ms": {"total": 40.0},
    }
    return document | changes


def foreign(**changes: Any) -> dict[str, Any]:
    nothing = {"source": "none", "kb_version": None, "entries": [], "unmapped": []}
    changes = {"considered": [], "diagnosis": nothing, "novelty": 6.28} | changes
    return result("not_this_kind_of_image", "another_kind", **changes)


def shown(language: Language, *results: dict[str, Any]) -> str:
    out = io.StringIO()
    console = Console(Path("home"), json=False, language=language, out=RichConsole(file=out, width=100))
    print_findings(console, list(results))
    return out.getvalue()


def test_every_outcome_and_every_reason_has_words() -> None:
    assert set(wording.OUTCOMES) == set(get_args(Outcome))
    assert set(wording.REASONS) == set(get_args(Reason))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", get_args(Outcome))
@pytest.mark.parametrize("reason", get_args(Reason))
def test_words_are_whole_sentences_in_both_languages(language: Language, outcome: str, reason: str) -> None:
    document = result(outcome, reason)
    ((what, todo),) = wording.reasons(document, language)
    end = "." if language == "en" else "。"
    assert what.endswith(end) and todo.endswith(end)
    for text in (wording.headline(document, language), what, todo):
        assert "{" not in text and any("一" <= letter <= "鿿" for letter in text) is (language == "zh")


def test_a_recognised_answer_is_named_with_its_score() -> None:
    assert wording.headline(result(), "en") == "Recognised: Malaria (0.90)"
    assert wording.headline(result(prediction_set=["blue"], considered=["blue"]), "zh") == "已识别：正常（0.10）"


def test_the_labels_between_which_the_model_cannot_decide_are_named() -> None:
    undecided = result("unsure", "several_labels_fit", considered=["red", "blue"])
    assert wording.reasons(undecided, "en")[0][0] == "The model cannot decide between: Malaria, Normal cell."
    assert "疟疾、正常" in wording.reasons(undecided, "zh")[0][0]


def test_a_model_that_cannot_tell_other_pictures_says_so() -> None:
    assert wording.limits(result(), "en") is None
    assert "malaria" in str(wording.limits(result(novelty=None), "en"))


def test_explanations_are_said_to_be_no_finding_and_missing_ones_to_be_missing() -> None:
    drawn = {"file": "out.png", "label": "red", "grid": [17, 17]}
    text = wording.explanation(result(explanation=drawn, explanation_reason=None), "en")
    assert text is not None and "out.png" in text and "Malaria" in text and "no finding" in text
    assert wording.explanation(result(), "en") is None
    for reason in ("no_locations", "not_this_kind_of_image", "not_written"):
        assert str(wording.explanation(result(explanation_reason=reason), "en")).startswith("No explanation")


def test_an_answer_that_declines_stands_where_a_recognised_one_would() -> None:
    lines = {
        name: shown("en", document).splitlines()
        for name, document in {
            "recognised": result(),
            "unsure": result("unsure", "no_label_fits", prediction_set=[]),
            "foreign": foreign(),
            "poor": result("poor_quality", "blurred"),
        }.items()
    }
    assert {
        name: next(i for i, x in enumerate(text) if x.startswith("▶")) for name, text in lines.items()
    } == dict.fromkeys(lines, 4)


def test_a_picture_of_another_kind_gets_no_scores() -> None:
    text = shown("en", foreign())
    assert "novelty 6.3" in text and "refer to a clinician" in text
    assert "Score" not in text and "Red flags" not in text


def test_what_is_considered_without_fitting_is_for_reading_up_only() -> None:
    doubt = shown("en", result("unsure", "no_label_fits", prediction_set=[], considered=["red", "blue"]))
    assert 0 < doubt.index("closest are: Malaria, Normal cell") < doubt.index("this is not the answer")
    assert doubt.index("this is not the answer") < doubt.index("Red flags")
    assert "this is not the answer" not in shown("en", result())


@pytest.mark.parametrize(
    ("language", "first", "last"),
    [
        (
            "en",
            "1. malaria (malaria@1): Recognised: Malaria (0.90)",
            "Not this kind of image for: skin (skin@1), eyes (e@2).",
        ),
        (
            "zh",
            "1. malaria (malaria@1): 已识别：疟疾（0.90）",
            "不是以下疾病模型适用的图像：skin (skin@1)、eyes (e@2)。",
        ),
    ],
)
def test_several_diseases_are_summed_up_in_order_of_rank(language: Language, first: str, last: str) -> None:
    release = {"model": "skin", "version": 1}
    answers = [
        result(),
        result("unsure", "unfamiliar", rank=2, disease="chest"),
        foreign(rank=3, disease="skin", release=release),
        foreign(rank=4, disease="eyes", release={"model": "e", "version": 2}),
    ]
    text = shown(language, *answers)
    assert 0 < text.index(first) < text.index("2. chest") < text.index(last) < text.index("▶")
    assert text.count("▶") == 2 and text.count("photo.png") == 1


def test_each_picture_has_its_own_list_and_an_entry_is_printed_once() -> None:
    second = [result(image="other.png"), foreign(image="other.png", rank=2)]
    text = shown("en", result(), *second)
    assert text.index("photo.png") < text.index("other.png")
    assert text.count("1. malaria") == 1  # only the second was asked about several diseases
    assert text.count("Red flags") == 1
