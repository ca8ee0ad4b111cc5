from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.recognition.ranking import ranked
from edge_node.recognition.recogniser import Recognition
from protocols.imaging import Quality
from protocols.manifest import Label
from protocols.recognition import Answer, Outcome
from tests.support.manifests import example

KINDS = ("disease", "normal", "image_quality", "other")


def recognition(disease: str, outcome: Outcome, scores: dict[str, float], label: str | None = None) -> Recognition:
    """``scores`` by kind of label; ``label``: the kind that is in the set."""
    kinds = list(scores)
    manifest = replace(example(), disease=disease, labels=tuple(Label(kind, None, kind) for kind in kinds))
    in_set = () if label is None else (kinds.index(label),)
    found = Answer(np.array(list(scores.values())), in_set, outcome, (), None)
    return Recognition(Path("photo.png"), "0" * 64, manifest, found, Quality(1, 1, 1, 0), 0.0, 0.0)


def order(*recognitions: Recognition) -> list[str]:
    return [r.manifest.disease for r in ranked(recognitions)]


def test_findings_come_first_then_doubt_then_normal_then_no_answer() -> None:
    both = {"disease": 0.4, "normal": 0.6}
    assert order(
        recognition("foreign", "not_this_kind_of_image", {"disease": 1.0, "normal": 0.0}),
        recognition("poor", "poor_quality", {"disease": 1.0, "normal": 0.0}),
        recognition("normal", "recognised", {"disease": 0.0, "normal": 1.0}, "normal"),
        recognition("unsure", "unsure", both),
        recognition("disease", "recognised", {"disease": 0.3, "normal": 0.7}, "disease"),
    ) == ["disease", "unsure", "normal", "poor", "foreign"]


def test_within_a_group_the_likelier_finding_comes_first() -> None:
    assert order(
        recognition("a", "unsure", {"disease": 0.1, "normal": 0.9}),
        recognition("b", "unsure", {"disease": 0.6, "normal": 0.4}),
        recognition("c", "unsure", {"disease": 0.4, "other": 0.5, "normal": 0.1}),
    ) == ["b", "c", "a"]


def test_an_unmapped_label_may_be_a_disease_and_a_fault_of_the_picture_is_none() -> None:
    assert order(
        recognition("fault", "recognised", {"image_quality": 1.0, "normal": 0.0}, "image_quality"),
        recognition("normal", "recognised", {"other": 0.0, "normal": 1.0}, "normal"),
        recognition("unmapped", "recognised", {"other": 0.9, "normal": 0.1}, "other"),
    ) == ["unmapped", "normal", "fault"]


def test_equals_keep_their_order() -> None:
    same = [recognition(name, "unsure", {"normal": 1.0}) for name in ("z", "a", "m")]
    assert order(*same) == ["z", "a", "m"]


outcomes = st.sampled_from(["recognised", "unsure", "poor_quality", "not_this_kind_of_image"])


@given(st.lists(st.tuples(outcomes, st.sampled_from(KINDS), st.floats(0, 1)), max_size=6))
def test_a_recognised_finding_is_never_below_anything_else(drawn: list[tuple[Outcome, str, float]]) -> None:
    found = [recognition("x", outcome, {kind: score}, kind) for outcome, kind, score in drawn]
    findings = [r.answer.outcome == "recognised" and r.manifest.labels[0].kind in ("disease", "other") for r in found]
    again = ranked(found)
    assert sorted(map(id, again)) == sorted(map(id, found))
    first = [r.answer.outcome == "recognised" and r.manifest.labels[0].kind in ("disease", "other") for r in again]
    assert first == sorted(findings, reverse=True)
    foreign = [r.answer.outcome == "not_this_kind_of_image" for r in again]
    assert foreign == sorted(foreign)


@pytest.mark.parametrize("outcome", ["recognised", "unsure"])
def test_one_answer_ranks_alone(outcome: Outcome) -> None:
    assert order(recognition("only", outcome, {"normal": 1.0}, "normal")) == ["only"]
