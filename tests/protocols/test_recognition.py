from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protocols.imaging import Quality
from protocols.manifest import Calibration, NoveltyLimits, QualityLimits
from protocols.novelty import Residuals
from protocols.recognition import answer, decide, prediction_set, quality_faults, same_answer, scores
from tests.support.manifests import example

LIMITS = NoveltyLimits("e" * 64, ("mixed7_avg",), familiar=1.5, foreign=4.0, layout=2.0)
HOME, SHIFTED, CHAIR = Residuals(1.0, 1.0), Residuals(3.0, 1.0), Residuals(9.0, 5.0)
GOOD = Quality(sharpness=5.0, exposure=0.5, highlight=0.9, clipped=0.0)


def calibration(*thresholds: float, **changes: float) -> Calibration:
    return replace(Calibration(1.0, 0.9, thresholds, (0.0,) * len(thresholds)), **changes)


def test_scores_sum_to_one_and_do_not_overflow() -> None:
    row = scores(np.array([1e4, -1e4, 0.0], np.float32), calibration(1, 1, 1, temperature=0.5))
    assert row.sum() == pytest.approx(1) and np.isfinite(row).all()


def test_bias_moves_the_odds_by_its_exponential() -> None:
    moved = replace(calibration(1, 1, temperature=2.0), bias=(np.log(3.0), 0.0))
    row = scores(np.array([2.0, 2.0], np.float32), moved)
    assert row[0] / row[1] == pytest.approx(3.0)


def test_prediction_set_holds_what_cannot_be_excluded() -> None:
    assert prediction_set(np.array([0.6, 0.3, 0.1]), calibration(0.5, 0.2, 0.95)) == [0, 2]
    assert prediction_set(np.array([0.5, 0.46, 0.04]), calibration(0.1, 0.1, 0.1)) == []


def test_where_no_label_fits_the_two_likeliest_are_read_up_on() -> None:
    manifest = replace(example(), calibration=calibration(0.01, 0.01))
    found = answer(manifest, np.array([0.2, 0.1], np.float32), GOOD, HOME)
    assert (found.in_set, found.considered) == ((), (0, 1))
    assert (found.outcome, found.reasons) == ("unsure", ("no_label_fits",))


def test_novelty_is_told_against_the_familiar_limit() -> None:
    assert answer(example(), np.array([9.0, 0.0], np.float32), GOOD, SHIFTED).novelty == pytest.approx(2.0)
    assert answer(replace(example(), novelty=None), np.array([9.0, 0.0], np.float32), GOOD, None).novelty is None


@pytest.mark.parametrize(
    ("in_set", "faults", "residuals", "outcome", "reasons"),
    [
        ((0,), (), HOME, "recognised", ()),
        ((0, 1), (), HOME, "unsure", ("several_labels_fit",)),
        ((), (), HOME, "unsure", ("no_label_fits",)),
        ((0,), (), SHIFTED, "unsure", ("unfamiliar",)),
        ((0, 1), (), SHIFTED, "unsure", ("unfamiliar", "several_labels_fit")),
        ((0,), ("blurred",), HOME, "poor_quality", ("blurred",)),
        ((0,), (), CHAIR, "not_this_kind_of_image", ("another_kind",)),
        ((0,), (), Residuals(9.0, 1.0), "not_this_kind_of_image", ("another_kind",)),
        ((0,), ("blurred",), Residuals(9.0, 1.0), "poor_quality", ("blurred",)),
        ((0,), ("blurred",), CHAIR, "not_this_kind_of_image", ("another_kind", "blurred")),
    ],
)
def test_outcomes(
    in_set: tuple[int, ...], faults: tuple[str, ...], residuals: Residuals, outcome: str, reasons: tuple[str, ...]
) -> None:
    assert decide(in_set, faults, residuals, LIMITS) == (outcome, reasons)  # type: ignore[arg-type]


def test_a_model_without_statistics_judges_by_the_rest() -> None:
    assert decide((0,), (), None, None)[0] == "recognised"
    assert decide((0, 1), (), None, None)[0] == "unsure"


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, ()),
        ({"sharpness": 1.0}, ("blurred",)),
        ({"exposure": 0.05}, ("underexposed",)),
        ({"highlight": 0.1}, ("underexposed",)),
        ({"exposure": 0.95}, ("overexposed",)),
        ({"clipped": 0.5}, ("overexposed",)),
        ({"sharpness": 1.0, "exposure": 0.0, "clipped": 1.0}, ("blurred", "underexposed", "overexposed")),
    ],
)
def test_each_fault_of_a_picture_has_its_name(changes: dict[str, float], faults: tuple[str, ...]) -> None:
    assert quality_faults(replace(GOOD, **changes), QualityLimits(2.0, 0.1, 0.9, 0.2, 0.3)) == faults


def test_self_test_forgives_kernels_and_nothing_else() -> None:
    expected = np.array([[0.70, 0.30], [0.51, 0.49]])
    assert same_answer(expected, expected + np.array([[0.015, -0.015], [-0.015, 0.015]]))
    assert not same_answer(expected, expected + np.array([[0.03, -0.03], [0, 0]]))
    assert not same_answer(expected, expected[:1])
    assert not same_answer(expected, np.full((2, 2), np.nan))
