"""Whether the fine-tuned network is worth its hour, told from one fold, and what the race may not flatter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coordinator.releases.cards.ladder import section
from coordinator.reports.document import Table, Words
from coordinator.training import folds
from coordinator.training.ladder import race
from coordinator.training.ladder.climb import Rung
from coordinator.training.ladder.comparison import Difference
from coordinator.training.ladder.decision import Ladder, Subject, decide, held_out
from coordinator.training.metrics import Interval
from tests.support.answers import logits

TRUTH = np.arange(400) % 2
GROUPS = np.array([f"patient {n // 4}" for n in range(400)])
(PLAN,) = folds.plans(TRUTH, GROUPS, 5, 1)
TEST = PLAN == 0


def difference(accuracy: float, loss: float) -> Difference:
    return Difference(Interval(accuracy, -1.0, 1.0), Interval(loss, -1.0, 1.0))


def kept(lead: float = 1.0, repeats: int = 3) -> Rung:
    return Rung("spatial head", "better", logits(TRUTH, 2, repeats, seed=1, lead=lead), 100_000)


@pytest.mark.parametrize(
    ("accuracy", "loss", "won"),
    [(0.01, -0.02, True), (0.0, -0.001, True), (0.01, 0.001, False), (-0.001, -0.1, False), (0.0, 0.0, False)],
)
def test_a_race_is_won_by_accuracy_and_loss_together(accuracy: float, loss: float, won: bool) -> None:
    assert race.better(difference(accuracy, loss)) is won


def test_a_stronger_network_wins_and_a_weaker_one_does_not() -> None:
    for lead, won in ((2.0, True), (0.5, False)):
        found = race.compared(TRUTH, GROUPS, logits(TRUTH, 2, seed=2, lead=lead)[0], kept(), TEST)
        assert found.won is won and found.against == "spatial head"
        assert (found.difference.accuracy.value > 0) is won


def test_only_images_that_the_network_has_not_seen_decide() -> None:
    teacher = logits(TRUTH, 2, seed=2, lead=1.2)[0]
    expected = race.compared(TRUTH, GROUPS, teacher, kept(), TEST)
    other = teacher.copy()
    other[~TEST] = np.nan  # learnt by heart, or not answered
    rung = kept()
    rung.logits[:, ~TEST] = -rung.logits[:, ~TEST]
    assert race.compared(TRUTH, GROUPS, other, rung, TEST).document() == expected.document()


def test_the_row_says_what_it_was_measured_on_and_against_what() -> None:
    lost = race.compared(TRUTH, GROUPS, logits(TRUTH, 2, seed=2, lead=0.5)[0], kept(), TEST).document()
    assert lost["why"]["code"] == "not_pursued" and not lost["kept"] and not lost["chosen"]
    assert "first fold" in lost["why"]["text"] and "spatial head" in lost["why"]["text"]
    assert "第一折" in lost["why"]["text_zh"] and "spatial head" in lost["why"]["text_zh"]
    assert lost["low"] < lost["balanced_accuracy"] < lost["high"] and lost["bytes"] > 10**7
    won = replace(race.compared(TRUTH, GROUPS, logits(TRUTH, 2, seed=2)[0], kept(), TEST), won=True).document()
    assert won["why"]["code"] == "teaches" and "too large to be released" in won["why"]["text"]


def test_the_card_tells_of_the_race_in_both_languages() -> None:
    row = race.compared(TRUTH, GROUPS, logits(TRUTH, 2, seed=2, lead=0.5)[0], kept(), TEST).document()
    (table,) = [b for b in section({"rungs": [row], "taps": []}).blocks if isinstance(b, Table)]
    ((name, _, difference, _, mark, why),) = table.rows
    assert isinstance(name, Words) and name.en == race.NAME and "微调" in name.zh
    assert isinstance(difference, Words) and difference.en.startswith("-") and mark == "✗"
    assert why == Words(row["why"]["text"], row["why"]["text_zh"])


def test_the_fold_that_called_for_a_rung_is_counted_without_it() -> None:
    first = Rung("a", "first", logits(TRUTH, 2, seed=1, lead=0.5), 1)
    taught = Rung("b", "better", logits(TRUTH, 2, seed=2, lead=3.0), 2, raced=(0, 0))
    at = Subject(TRUTH, GROUPS, np.zeros(0, np.int64), [PLAN])
    ladder = Ladder("x", (first, taught))
    shipped = decide([ladder], at).chosen
    assert shipped == (0, 1)
    found = held_out([ladder], at, shipped)
    assert found.chosen == [(0, 0)] + [(0, 1)] * 4
    assert np.array_equal(found.logits[0, ~TEST], taught.logits[0, ~TEST])
    assert np.array_equal(found.logits[0, TEST].argmax(axis=1), first.logits[0, TEST].argmax(axis=1))
