"""Metrics, linear fit, selection and calibration, each against something computed another way."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, recall_score

from coordinator.training import metrics, selection
from coordinator.training.calibration import calibrate
from coordinator.training.linear import Method, Projection
from coordinator.training.selection import Data, TapSet
from protocols.recognition import prediction_set, scores


def blobs(n: int, channels: int, classes: int = 2, seed: int = 0, gap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    centres = np.random.default_rng(99).normal(0, gap, (classes, channels)) / np.sqrt(channels) * 3
    return (centres[labels] + generator.normal(0, 1, (n, channels))).astype(np.float32), labels


def test_balanced_accuracy_and_per_class_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    truth, predicted = generator.integers(0, 3, 300), generator.integers(0, 3, 300)
    table = metrics.confusion(truth, predicted, 3)
    assert metrics.balanced_accuracy(table) == pytest.approx(balanced_accuracy_score(truth, predicted))
    rows = metrics.per_class(table, ["a", "b", "c"])
    assert rows["b"]["sensitivity"] == pytest.approx(recall_score(truth == 1, predicted == 1), abs=1e-4)
    assert rows["b"]["specificity"] == pytest.approx(recall_score(truth != 1, predicted != 1), abs=1e-4)


def test_interval_is_wider_when_images_of_a_group_share_their_fate() -> None:
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 2, 400)
    groups = np.repeat(np.arange(20), 20).astype(str)
    wrong = np.repeat(generator.random(20) < 0.3, 20)
    predicted = np.where(wrong, 1 - truth, truth)
    grouped = metrics.balanced_accuracy_interval(truth, predicted, groups, 2)
    alone = metrics.balanced_accuracy_interval(truth, predicted, np.arange(400).astype(str), 2)
    assert grouped.low <= grouped.value <= grouped.high
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_calibration_error_of_an_honest_and_a_boastful_model() -> None:
    generator = np.random.default_rng(3)
    p = generator.uniform(0.5, 1, 5000)
    right = generator.random(5000) < p
    honest = np.stack([p, 1 - p], axis=1)
    boast = np.tile([0.999, 0.001], (5000, 1))
    truth = np.where(right, 0, 1)
    assert metrics.expected_calibration_error(truth, honest) < 0.03
    assert metrics.expected_calibration_error(truth, boast) > 0.2


@pytest.mark.parametrize(("n", "channels", "classes"), [(120, 400, 2), (120, 400, 3), (500, 40, 3)])
def test_projected_fit_equals_logistic_regression_on_the_features_themselves(
    n: int, channels: int, classes: int
) -> None:
    features, labels = blobs(n, channels, classes)
    head = Projection(features).fit(labels, 0.01)
    standard = (features - features.mean(0)) / features.std(0)
    direct = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000, tol=1e-8).fit(standard, labels)
    expected = direct.decision_function(standard)
    got = head.logits(features)
    if classes == 2:
        got = got[:, 1] - got[:, 0]
    else:
        expected = expected - expected.mean(1, keepdims=True)
        got = got - got.mean(1, keepdims=True)
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


def test_a_feature_that_never_moves_does_no_harm() -> None:
    features, labels = blobs(200, 50)
    features[:, 3] = 7.0
    assert np.isfinite(Projection(features).fit(labels, 0.1).weights).all()


def make_data() -> Data:
    """Tap ``good`` carries the label, ``noise`` nothing."""
    good, labels = blobs(300, 30, gap=1.2)
    noise = np.random.default_rng(5).normal(0, 1, (300, 30)).astype(np.float32)
    return Data({"good": good, "noise": noise}, labels, np.array([f"g{i // 5}" for i in range(300)]))


CANDIDATES = (TapSet("good", ("good",)), TapSet("noise", ("noise",)))


def test_selection_finds_the_tap_that_carries_the_label() -> None:
    data = make_data()
    rows = np.arange(300) % 3 > 0
    found = selection.trials(data, rows, CANDIDATES, ("logistic", "ridge"))
    accuracies = {name: [t.accuracy for t in found if t.choice.tap_set.name == name] for name in ("good", "noise")}
    assert max(accuracies["good"]) > 0.8
    assert abs(np.mean(accuracies["noise"]) - 0.5) < 0.12
    assert selection.best(found).tap_set.name == "good"


def trial(name: str, accuracy: float, lost: float, strength: float = 1.0) -> selection.Trial:
    return selection.Trial(selection.Choice(TapSet(name, (name,)), strength), accuracy, 0.02, lost)


def test_within_a_standard_error_of_the_best_the_least_loss_is_chosen() -> None:
    found = [trial("luckiest", 0.90, 0.30), trial("steadiest", 0.89, 0.25), trial("behind", 0.87, 0.20)]
    assert selection.best(found).tap_set.name == "steadiest"


def test_at_a_tie_the_stiffer_fit_is_chosen() -> None:
    assert selection.best([trial("a", 0.9, 0.3, 1.0), trial("a", 0.9, 0.3, 0.1)]).strength == 0.1


@pytest.mark.parametrize("method", ["logistic", "ridge"])
def test_same_data_gives_the_same_bits(method: Method) -> None:
    data = make_data()
    choice = selection.Choice(CANDIDATES[0], 0.1, method)
    first, second = selection.fit(data, choice), selection.fit(data, choice)
    assert first.weights.tobytes() == second.weights.tobytes()


@pytest.mark.parametrize("classes", [2, 4])
def test_ridge_equals_weighted_least_squares_on_the_features_themselves(classes: int) -> None:
    features, labels = blobs(150, 20, classes)
    head = Projection(features).fit(labels, 0.5, "ridge")
    standard = (features - features.mean(0)) / features.std(0)
    targets = np.where(np.eye(classes)[labels] == 1, 1.0, -1.0 / (classes - 1))
    weights = len(labels) / classes / np.bincount(labels)[labels]
    direct = Ridge(alpha=len(labels) / 0.5).fit(standard, targets, sample_weight=weights)
    assert np.abs(head.logits(features) - direct.predict(standard)).max() < 1e-3


def test_a_rare_class_counts_as_much_as_a_common_one() -> None:
    features, labels = blobs(600, 30, gap=0.5)
    keep = (labels == 0) | (np.cumsum(labels == 1) % 10 == 0)
    for method in ("logistic", "tempered", "ridge"):
        head = Projection(features[keep]).fit(labels[keep], 0.01, method)
        called = head.logits(features[~keep]).argmax(1)
        assert (called == 1).mean() > 0.5, f"{method}: the rare class would never be called"


def test_taps_that_count_alike_are_not_drowned_by_a_wide_one() -> None:
    good, labels = blobs(300, 10, gap=0.9)
    wide = np.random.default_rng(5).normal(0, 1, (300, 3000)).astype(np.float32)
    data = Data({"good": good, "wide": wide}, labels, np.arange(300).astype(str))
    both = TapSet("both", ("good", "wide"))
    rows = np.arange(300) < 200
    accuracy = {}
    for level in (False, True):
        head = selection.fit(data, selection.Choice(both, 0.1, "ridge", level), rows)
        accuracy[level] = (head.logits(data.features(both, ~rows)).argmax(1) == labels[~rows]).mean()
    assert accuracy[True] > accuracy[False] + 0.05


def test_conformal_sets_cover_as_stated_on_unseen_images() -> None:
    features, labels = blobs(3000, 30, gap=0.7)
    head = Projection(features[:1000]).fit(labels[:1000], 0.1)
    logits = head.logits(features)
    calibration = calibrate(logits[np.newaxis, 1000:2000], labels[1000:2000], np.arange(1000).astype(str), 0.9)
    rows = scores(logits[2000:], calibration)
    truth = labels[2000:]
    covered = [int(t) in prediction_set(row, calibration) for row, t in zip(rows, truth, strict=True)]
    for label in (0, 1):
        assert np.mean([c for c, t in zip(covered, truth, strict=True) if t == label]) == pytest.approx(0.9, abs=0.04)


def test_too_few_images_for_the_coverage_exclude_nothing() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]], np.float32)
    for repeats in (1, 3):
        found = calibrate(np.stack([logits] * repeats), np.array([0, 1, 0]), np.array(["a", "b", "c"]))
        assert found.thresholds == (1.0, 1.0)


def test_images_of_few_patients_bear_less_witness_than_as_many_patients() -> None:
    labels = np.tile([0, 1], 200)
    logits = np.random.default_rng(5).normal(0, 1, (1, 400, 2)).astype(np.float32)
    logits[0, np.arange(400), labels] += 1.5
    many = calibrate(logits, labels, np.arange(400).astype(str)).thresholds
    few = calibrate(logits, labels, (np.arange(400) // 20).astype(str)).thresholds
    eight = calibrate(logits, labels, (np.arange(400) // 50).astype(str)).thresholds
    assert few[0] > many[0] and few[1] > many[1]
    assert eight == (1.0, 1.0)
