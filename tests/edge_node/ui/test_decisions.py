"""Cropping, line breaking, wording, colours: plain functions."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import EdgeError
from edge_node.ui import theme, wording
from edge_node.ui.cropping import HANDLES, dragged, least_edge, moved, scaled, within
from edge_node.ui.texts import texts
from edge_node.ui.values import Freshness, Offer
from edge_node.ui.wrapping import wrap
from protocols.errors import table
from protocols.imaging import Box
from protocols.recognition import Outcome, Reason
from tests.edge_node.ui.support.fakes import answer

SIDES = st.integers(20, 5000)
STEPS = st.integers(-6000, 6000)


@given(SIDES, SIDES, st.sampled_from(["move", *HANDLES]), st.lists(st.tuples(STEPS, STEPS), max_size=6))
def test_no_drag_leaves_the_picture_or_makes_the_region_too_small(width, height, handle, moves) -> None:  # type: ignore[no-untyped-def]
    box = Box(0, 0, width, height)
    for dx, dy in moves:
        box = dragged(box, handle, dx, dy, width, height)
        assert box.x >= 0 and box.y >= 0 and box.x + box.width <= width and box.y + box.height <= height
        assert min(box.width, box.height) >= least_edge(width, height)


@given(SIDES, SIDES, st.lists(st.integers(-30, 30), max_size=8))
def test_growing_and_shrinking_stays_inside(width, height, steps) -> None:  # type: ignore[no-untyped-def]
    box = Box(0, 0, width, height)
    for step in steps:
        box = scaled(box, step, width, height)
        assert box.x >= 0 and box.x + box.width <= width and box.y >= 0 and box.y + box.height <= height


def test_moving_keeps_the_size_and_a_foreign_box_is_brought_inside() -> None:
    assert moved(Box(10, 10, 50, 40), 1000, -1000, 200, 100) == Box(150, 0, 50, 40)
    assert within(Box(190, 90, 400, 1), 200, 100) == Box(0, 84, 200, 16)


def advance(character: str) -> float:
    return 2.0 if "一" <= character <= "鿿" or character in "，。：" else 1.0


def test_chinese_breaks_between_ideographs_but_never_before_a_full_stop() -> None:
    lines = wrap("恶性疟可致命，请立即转诊。", 12, advance)
    assert "".join(lines) == "恶性疟可致命，请立即转诊。"
    assert all(line[0] not in "，。" for line in lines)
    assert all(sum(map(advance, line)) <= 12 for line in lines)


def test_english_breaks_at_spaces_and_a_long_word_anywhere() -> None:
    assert wrap("refer the patient", 9, advance) == ["refer the", "patient"]
    assert wrap("https://hospital", 6, advance) == ["https:", "//hosp", "ital"]
    assert wrap("a\n\nb", 9, advance) == ["a", "", "b"]


@given(st.text("疟疾，。（） abc\n", max_size=60), st.integers(3, 30))
def test_wrapping_loses_nothing_but_spaces(text: str, width: int) -> None:
    assert "".join(wrap(text, width, advance)).replace(" ", "") == text.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(("outcome", "language"), list(product(get_args(Outcome), ("zh", "en"))))
def test_every_outcome_has_its_own_heading_symbol_and_colour(outcome: Outcome, language) -> None:  # type: ignore[no-untyped-def]
    verdicts = [wording.verdict(answer(other), texts(language)) for other in get_args(Outcome)]
    own = wording.verdict(answer(outcome), texts(language))
    assert own.heading and own.sentence and own.tone in theme.TONES
    assert (
        len({v.heading for v in verdicts}) == len({v.symbol for v in verdicts}) == len({v.tone for v in verdicts}) == 4
    )


def test_a_normal_answer_does_not_rule_out_illness() -> None:
    found = answer()
    healthy = type(found)(**{**vars(found), "scores": found.scores[::-1]})
    assert "does not rule out illness" in wording.verdict(healthy, texts("en")).sentence


def test_every_reason_and_level_is_worded_in_both_languages() -> None:
    for words in (texts("zh"), texts("en")):
        for reason in get_args(Reason):
            found = answer()
            (said,) = wording.reasons(type(found)(**{**vars(found), "reasons": (reason,)}), words)
            assert said.endswith(("。", "."))
        for level in (*wording.URGENCY.values(), *wording.REVIEW.values(), *wording.OUTCOMES.values()):
            assert words.t(level)


@pytest.mark.parametrize("value", [0.0, 0.004, 0.5, 0.999, 1.0])
def test_no_score_is_ever_nothing_or_everything(value: float) -> None:
    assert wording.score_text(value, texts("en")) not in ("0 of 100", "100 of 100")


def test_pictures_without_an_answer_show_no_scores() -> None:
    assert [wording.answers(answer(outcome)) for outcome in get_args(Outcome)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("now", "member", "said", "warned"),
    [
        (Freshness(), False, "Not joined", True),
        (Freshness(), True, "Never checked", True),
        (Freshness(days=0), True, "today", False),
        (Freshness(days=1), True, "1 day ago", False),
        (Freshness(days=40, is_stale=True), True, "40 days ago", True),
        (Freshness(days=1, clock_behind=True), True, "clock", True),
        (Freshness(days=0, node_revoked=True), True, "shut this device out", True),
    ],
)
def test_staleness_is_said_and_warned_of(now: Freshness, member: bool, said: str, warned: bool) -> None:
    text, warning = wording.freshness(now, texts("en"), member=member)
    assert said in text and warning is warned


def test_remedies_of_ours_are_for_codes_that_exist() -> None:
    assert set(wording._REMEDIES) <= set(table())


def test_every_pair_of_colours_can_be_read() -> None:
    for pair in theme.PAIRS:
        assert theme.contrast(pair) >= 4.5, pair


def test_outcomes_weigh_the_same() -> None:
    weights = [theme.contrast(pair) for pair in theme.TONES.values()]
    assert max(weights) / min(weights) < 1.5


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_model_that_was_never_calibrated_claims_no_known_pictures(language: str) -> None:
    words = texts(language)
    plain = answer("unsure")
    never = replace(plain, coverage=1.0)
    assert "100" not in wording.set_sentence(never, words)
    assert wording.set_sentence(never, words) != wording.set_sentence(plain, words)
    assert ("never checked" if language == "en" else "从未") in wording.set_sentence(never, words)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_release_that_the_site_declined_is_told_beside_the_model_in_use(language: str) -> None:
    why = EdgeError("acceptance.worse_here", release="skin@2", active="skin@1", difference="-0.300 … -0.100")
    offer = Offer("melanoma", "skin", 2, "skin@2", 100, 1, declined=why)
    text, warning = wording.offer_status(offer, texts(language))
    assert why.message("en" if language == "en" else "zh") in text
    assert not warning
