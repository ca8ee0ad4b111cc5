"""The ladder keeps what unseen groups show to be better, says why, and states a figure that shares no image with the choice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coordinator.training import folds, metrics
from coordinator.training.ladder.climb import REASONS, Rule, Rung, climb
from coordinator.training.ladder.decision import Ladder, Subject, decide, held_out

IMAGES, GROUPS = 600, 60
TRUTH = np.tile([0, 1], IMAGES // 2)
GROUP = np.repeat(np.arange(GROUPS), IMAGES // GROUPS).astype(str)
SOURCE = np.arange(0, IMAGES, 3)
EMPTY = np.zeros((0, 0, 0), np.float32)


def answers(truth: np.ndarray, lead: float, seed: int = 0, repeats: int = 1) -> np.ndarray:
    """Logits that know the truth ``lead`` standard deviations well; equal seeds share their noise."""
    found = np.random.default_rng(seed).normal(0, 1, (repeats, len(truth), 2))
    found[:, np.arange(len(truth)), truth] += lead
    return found.astype(np.float32)


def rung(name: str, lead: float, rule: Rule = "better", seed: int = 0, size: int = 1000, repeats: int = 1) -> Rung:
    return Rung(name, rule, answers(TRUTH, lead, seed, repeats), size)


def why(rungs: list[Rung]) -> list[tuple[bool, str]]:
    return [(v.kept, v.why) for v in climb(rungs, TRUTH, GROUP, SOURCE)[1]]


def test_a_rung_that_is_clearly_better_is_kept_and_the_next_is_compared_with_it() -> None:
    rungs = [rung("a", 1.0, "first"), rung("b", 2.0), rung("c", 1.5)]
    kept, verdicts = climb(rungs, TRUTH, GROUP, SOURCE)
    assert kept == 1
    assert [v.why for v in verdicts] == ["first", "better", "worse"]
    assert verdicts[2].against == "b"


def test_a_heavier_rung_that_only_seems_better_is_not_kept() -> None:
    assert why([rung("a", 1.5, "first", seed=1), rung("b", 1.53, seed=2)])[1][0] is False


def test_log_loss_settles_what_balanced_accuracy_leaves_open() -> None:
    light = rung("a", 1.2, "first")
    wrong = light.logits.argmax(axis=2) != TRUTH
    calmer = light.logits.copy()
    calmer[wrong] *= 0.2  # as often right, but never so sure of what is wrong
    assert why([light, replace(light, name="b", rule="better", logits=calmer)])[1] == (True, "lower_loss")


def test_a_choice_that_contains_the_rung_before_needs_only_to_be_level() -> None:
    first = rung("a", 1.2, "first")
    assert why([first, replace(first, name="b", rule="contains")])[1] == (True, "contains")
    assert why([first, rung("b", 0.9, "contains")])[1] == (False, "worse")


@pytest.mark.parametrize(
    ("on_images", "on_views", "expected"),
    [(1.2, 1.5, (True, "robust")), (1.2, 0.5, (False, "not_shown")), (0.9, 1.5, (False, "costs"))],
    ids=["better on views", "no better on views", "too dear on images"],
)
def test_altered_views_are_judged_on_altered_views_of_unseen_groups(
    on_images: float, on_views: float, expected: tuple[bool, str]
) -> None:
    seen = TRUTH[SOURCE]
    before = replace(rung("a", 1.2, "first"), views=answers(seen, 0.5))
    after = replace(rung("b", on_images, "robust"), views=answers(seen, on_views))
    assert why([before, after])[1] == expected


def test_where_one_group_holds_a_class_nothing_heavier_is_kept() -> None:
    groups = np.where(TRUTH == 1, "the only sick one", GROUP)
    _, verdicts = climb([rung("a", 0.5, "first"), rung("b", 3.0)], TRUTH, groups, SOURCE)
    assert (verdicts[1].kept, verdicts[1].why) == (False, "few_groups")


def test_every_reason_is_a_sentence_in_both_languages() -> None:
    for text, text_zh in REASONS.values():
        assert len(text) > 15 and any("一" <= c <= "鿿" for c in text_zh)


def subject(repeats: int = 1, truth: np.ndarray = TRUTH) -> Subject:
    return Subject(truth, GROUP, SOURCE, folds.plans(truth, GROUP, 5, repeats))


def test_rungs_of_fewer_repeats_are_compared_over_those_that_both_have() -> None:
    ladder = Ladder("x", (rung("a", 1.0, "first", repeats=3), rung("b", 2.0, repeats=1)))
    at = subject(3)
    decision = decide([ladder], at)
    assert decision.chosen == (0, 1)
    found = held_out([ladder], at, decision.chosen)
    assert found.logits.shape == (1, IMAGES, 2)
    assert np.array_equal(found.logits[0], ladder.rungs[1].logits[0])


def test_the_stated_figure_is_not_flattered_by_choosing_among_lucky_rungs() -> None:
    """Twenty rungs of noise: the luckiest looks good on the images that chose it, not on the others."""
    truth = np.random.default_rng(0).permutation(TRUTH)
    noise = [Rung(str(i), "contains", answers(truth, 0.0, seed=i), 1) for i in range(20)]
    ladder = Ladder("x", (replace(noise[0], rule="first"), *noise[1:]))
    at = subject(truth=truth)
    decision = decide([ladder], at)
    luckiest = ladder.rungs[decision.chosen[1]].logits[0].argmax(axis=1)
    stated = held_out([ladder], at, decision.chosen).logits[0].argmax(axis=1)
    assert metrics.balanced_accuracy(metrics.confusion(truth, luckiest, 2)) > 0.53
    assert metrics.balanced_accuracy(metrics.confusion(truth, stated, 2)) < 0.53


def test_answers_of_differing_folds_are_on_one_scale() -> None:
    """Half of the folds prefer a head whose logits are fifty times as large."""
    a, b = answers(TRUTH, 1.5, seed=1), answers(TRUTH, 1.5, seed=2) * 50
    ladder = Ladder("x", (Rung("a", "first", a, 1), Rung("b", "contains", b, 2)))
    at = subject(4)
    ladder = Ladder("x", tuple(replace(r, logits=np.repeat(r.logits, 4, axis=0)) for r in ladder.rungs))
    found = held_out([ladder], at, (0, 0))
    assert len(set(found.chosen)) == 2, "the folds disagree, else this shows nothing"
    spreads = [np.abs(found.logits[0, at.plans[0] == f]).mean() for f in range(5)]
    assert max(spreads) < 3 * min(spreads)


def test_the_first_backbone_stays_unless_another_is_shown_to_be_better() -> None:
    plain = Ladder("first", (rung("a", 1.2, "first", seed=1), rung("b", 1.0)))
    level = Ladder("level", (rung("a", 1.22, "first", seed=2),))
    better = Ladder("better", (rung("a", 2.2, "first", seed=3),))
    decision = decide([plain, level, better], subject())
    assert decision.chosen == (2, 0)
    assert [(v.kept, v.why) for v in decision.between] == [
        (True, "first"),
        (False, decision.between[1].why),
        (True, "better"),
    ]
    assert decide([plain, level], subject()).ladder == 0
