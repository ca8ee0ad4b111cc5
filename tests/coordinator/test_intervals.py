"""Figures and their intervals, each against scikit-learn, a formula or a plain loop."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from coordinator.training import metrics
from protocols.manifest import Calibration
from protocols.recognition import scores
from tests.support.answers import logits

PLAIN = Calibration(1.0, 0.9, (1.0,) * 3, (0.0,) * 3)


def answers(images: int = 300, classes: int = 3, repeats: int = 1, groups: int = 60, seed: int = 0):
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, classes, images)
    p = scores(logits(truth, classes, repeats, seed), Calibration(1.0, 0.9, (1.0,) * classes, (0.0,) * classes))
    return truth, p, chance.integers(0, groups, images)


def test_figures_agree_with_scikit_learn() -> None:
    truth, p, groups = answers()
    found = metrics.describe(truth, p, groups)
    predicted = p[0].argmax(axis=1)
    assert found.accuracy == pytest.approx((predicted == truth).mean())
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found.auc_macro is not None
    assert found.auc_macro.value == pytest.approx(roc_auc_score(truth, p[0], multi_class="ovr", average="macro"))
    for label, row in enumerate(found.per_class):
        assert row.images == (truth == label).sum() and row.groups == len(set(groups[truth == label].tolist()))
        assert row.sensitivity is not None and row.specificity is not None and row.auc is not None
        assert row.sensitivity.value == pytest.approx(recall_score(truth == label, predicted == label))
        assert row.specificity.value == pytest.approx(recall_score(truth != label, predicted != label))
        assert row.auc.value == pytest.approx(roc_auc_score(truth == label, p[0, :, label]))


def test_area_counts_ties_as_scikit_learn_does() -> None:
    truth, p, _ = answers()
    coarse = p[0].round(1)
    assert metrics.auc_macro(truth, coarse) == pytest.approx(
        np.mean([roc_auc_score(truth == c, coarse[:, c]) for c in range(3)])
    )


def test_intervals_are_those_of_a_plain_loop_over_the_same_draws() -> None:
    truth, p, groups = answers(images=120, groups=15)
    at = metrics.Resampling(groups)
    sensitivity, area = [], []
    for draw in np.concatenate(list(at.blocks()))[:200]:
        rows = np.repeat(np.arange(len(truth)), draw[at.group_of].astype(int))
        sensitivity.append(recall_score(truth[rows] == 1, p[0, rows].argmax(axis=1) == 1))
        area.append(roc_auc_score(truth[rows] == 1, p[0, rows, 1]))
    row = metrics.describe(truth, p, groups).per_class[1]
    for interval, loop in ((row.sensitivity, sensitivity), (row.auc, area)):
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx(np.percentile(loop, (2.5, 97.5)), abs=0.03)


def test_intervals_hold_the_truth_about_nineteen_times_in_twenty() -> None:
    real = 0.8
    inside = []
    for seed in range(120):
        chance = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 4)
        fate = np.repeat(chance.beta(real * 4, (1 - real) * 4, 60), 4)  # images of a group share their difficulty
        right = chance.random(240) < fate
        found = metrics.share_interval(right[np.newaxis], groups)
        assert found is not None and found.low is not None and found.high is not None
        inside.append(found.low <= real <= found.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.06)


def test_figures_of_repeats_are_means_and_their_intervals_do_not_shrink() -> None:
    truth, p, groups = answers(repeats=3)
    together = metrics.describe(truth, p, groups)
    alone = [metrics.describe(truth, p[i : i + 1], groups) for i in range(3)]
    for name in ("value", "low", "high"):
        mean = np.mean([getattr(a.balanced_accuracy, name) for a in alone])
        assert getattr(together.balanced_accuracy, name) == pytest.approx(mean)
    assert together.ece == pytest.approx(np.mean([a.ece for a in alone]))


def test_one_group_gives_figures_without_intervals() -> None:
    truth, p, _ = answers()
    found = metrics.describe(truth, p, np.zeros(len(truth), dtype=int))
    assert found.balanced_accuracy.low is None and found.balanced_accuracy.high is None
    assert found.auc_macro is not None and found.auc_macro.low is None
    assert found.balanced_accuracy.document() == {
        "value": round(found.balanced_accuracy.value, 4), "low": None, "high": None
    }  # fmt: skip


def test_a_class_of_one_group_has_no_interval_and_the_others_do() -> None:
    truth, p, groups = answers()
    groups[truth == 2] = 999
    rows = metrics.describe(truth, p, groups).per_class
    assert rows[2].sensitivity is not None and rows[2].sensitivity.low is None
    assert rows[0].sensitivity is not None and rows[0].sensitivity.low is not None


def test_a_class_that_does_not_occur_is_not_guessed() -> None:
    truth, p, groups = answers()
    keep = truth != 2
    found = metrics.describe(truth[keep], p[:, keep], groups[keep])
    assert found.auc_macro is None and found.per_class[2].sensitivity is None and found.per_class[2].auc is None
    assert found.per_class[2].specificity is not None
    assert found.per_class[2].document()["intervals"]["sensitivity"] is None


def test_images_of_one_class_only_give_sensitivity_and_nothing_else() -> None:
    truth, p, groups = answers()
    keep = truth == 0
    row = metrics.describe(truth[keep], p[:, keep], groups[keep]).per_class[0]
    assert row.sensitivity is not None and row.specificity is None and row.auc is None


def test_never_wrong_is_not_taken_for_certain() -> None:
    """30 groups without an error: the exact 97.5 % bound is 0.884, not 1."""
    truth = np.repeat([0, 1], 30)
    p = np.eye(2)[truth][np.newaxis] * 0.8 + 0.1
    row = metrics.describe(truth, p, np.tile(np.arange(30), 2)).per_class[0]
    assert row.sensitivity is not None
    assert (row.sensitivity.low, row.sensitivity.high) == (pytest.approx(0.025 ** (1 / 30)), 1.0)


def test_blocks_of_draws_do_not_depend_on_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, p, groups = answers()
    whole = metrics.describe(truth, p, groups)
    monkeypatch.setattr(metrics, "_CELLS", 300 * 7)
    assert metrics.describe(truth, p, groups) == whole


def test_equal_mass_bins_and_their_error() -> None:
    truth, p, _ = answers(images=303)
    found = metrics.reliability(truth, p[0], bins=10)
    assert found.images.sum() == 303 and found.images.max() - found.images.min() <= 1
    assert (np.diff(found.score) >= 0).all()
    expected = (found.images * abs(found.score - found.right)).sum() / 303
    assert metrics.expected_calibration_error(truth, p[0], bins=10) == pytest.approx(expected)


def test_all_intervals_of_a_usual_data_set_take_about_a_second_of_processor_time() -> None:
    truth, p, groups = answers(images=1600, classes=2, groups=200)
    started = time.process_time()
    metrics.describe(truth, p, groups)
    assert time.process_time() - started < 3  # measured 0.3 on an idle machine
