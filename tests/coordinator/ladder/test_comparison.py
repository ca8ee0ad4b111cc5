"""Which of two heads is better: the paired group bootstrap against what can be worked out another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from coordinator.training.ladder.comparison import expanded_tail, loss, standings, temperature


def answers(truth: np.ndarray, right: np.ndarray, classes: int = 2, sure: float = 2.0) -> np.ndarray:
    """Logits [1, images, labels] that are right where ``right`` says so."""
    called = np.where(right, truth, (truth + 1) % classes)
    return (np.eye(classes, dtype=np.float32)[called] * sure)[np.newaxis]


def test_balanced_accuracy_counts_classes_alike_and_repeats_in_the_mean() -> None:
    truth = np.array([0] * 90 + [1] * 10)
    good, bad = np.ones(100, dtype=bool), truth == 0
    heads = {"both": np.concatenate([answers(truth, good), answers(truth, bad)])}
    found = standings(truth, np.arange(100), heads).heads["both"]
    assert found.accuracy == pytest.approx((1.0 + 0.5) / 2)


def test_what_two_heads_get_wrong_alike_does_not_widen_their_difference() -> None:
    chance = np.random.default_rng(1)
    truth, groups = np.tile([0, 1], 300), np.repeat(np.arange(60), 10)
    hard = np.repeat(chance.random(60) < 0.3, 10)  # whole groups that neither head can tell
    theirs = ~hard & (chance.random(600) > 0.06)
    ours = ~hard & (theirs | (chance.random(600) < 0.8))
    found = standings(truth, groups, {"a": answers(truth, ours), "b": answers(truth, theirs)})
    difference = found.difference("a", "b").accuracy
    spread = np.quantile(found.heads["a"].accuracies, 0.975) - np.quantile(found.heads["a"].accuracies, 0.025)
    assert difference.value > 0 and difference.low is not None and difference.high is not None
    assert difference.low > 0, "paired, the small gain shows"
    assert difference.high - difference.low < spread / 2


def test_the_difference_of_a_head_to_itself_is_nothing() -> None:
    truth = np.tile([0, 1, 2], 20)
    logits = np.random.default_rng(2).normal(size=(2, 60, 3)).astype(np.float32)
    found = standings(truth, np.arange(60) // 3, {"a": logits, "b": logits}).difference("a", "b")
    assert (found.accuracy.value, found.accuracy.low, found.accuracy.high) == (0, 0, 0)


def test_loss_does_not_depend_on_the_scale_of_the_logits() -> None:
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 2, 400)
    logits = chance.normal(size=(400, 2)).astype(np.float32)
    logits[np.arange(400), truth] += 1
    assert loss(truth, logits) == pytest.approx(loss(truth, logits * 4), rel=0.01)
    assert loss(truth, logits) <= -log_softmax(logits, axis=1)[np.arange(400), truth].mean() + 0.02
    hot = temperature(truth, (logits * 4)[np.newaxis])
    assert hot == pytest.approx(4 * temperature(truth, logits[np.newaxis]), rel=0.3)


def test_few_witnesses_widen_the_interval_and_one_gives_none() -> None:
    assert expanded_tail(1000) == pytest.approx(0.025, abs=0.001)
    assert expanded_tail(5) < 0.002
    truth = np.array([0] * 30 + [1] * 10)
    groups = np.array([f"well {i}" for i in range(30)] + ["the only sick one"] * 10)
    logits = np.random.default_rng(4).normal(size=(1, 40, 2)).astype(np.float32)
    found = standings(truth, groups, {"a": logits, "b": -logits})
    assert found.witnesses == 1
    assert found.difference("a", "b").accuracy.low is None


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Two heads that are equally good: 0 must lie inside in about 95 of 100 data sets of twelve groups (60 are drawn)."""
    chance = np.random.default_rng(5)
    inside = 0
    for _ in range(60):
        truth, groups = np.tile([0, 1], 60), np.repeat(np.arange(12), 10)
        heads = {}
        for name in ("a", "b"):
            ease = np.repeat(chance.normal(1.0, 0.5, 12), 10)
            heads[name] = answers(truth, chance.normal(ease, 1) > 0)
        found = standings(truth, groups, heads).difference("a", "b").accuracy
        assert found.low is not None and found.high is not None
        inside += found.low <= 0 <= found.high
    assert inside >= 53
