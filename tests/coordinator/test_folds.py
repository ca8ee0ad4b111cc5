from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.errors import CoordinatorError
from coordinator.training import folds


@settings(max_examples=50)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=80), st.integers(2, 6), st.integers(0, 9))
def test_no_group_straddles_a_split(numbers: list[int], count: int, salt: int) -> None:
    groups = np.array([f"g{n}" for n in numbers])
    fold_of = folds.assign(groups, count, salt)
    for group in set(groups.tolist()):
        assert len(set(fold_of[groups == group].tolist())) == 1


def test_a_group_keeps_its_fold_as_the_data_grows() -> None:
    small = np.array([f"g{n}" for n in range(50)])
    large = np.array([f"g{n}" for n in range(500)])
    assert (folds.assign(small, 5, 0) == folds.assign(large, 5, 0)[:50]).all()


def test_every_class_is_trained_and_tested_in_every_fold() -> None:
    groups = np.array([f"g{n // 3}" for n in range(120)])
    labels = np.array([n % 4 == 0 for n in range(120)], dtype=np.int64)
    for plan in folds.plans(labels, groups, 5, 3):
        assert folds.sound(labels, plan)


def test_a_single_group_is_refused() -> None:
    with pytest.raises(CoordinatorError) as caught:
        folds.plans(np.array([0, 1, 0, 1]), np.array(["one"] * 4), 5, 1)
    assert caught.value.code == "train.too_few_groups"


def test_many_small_classes_are_dealt_where_hashing_fails() -> None:
    labels = np.repeat(np.arange(25), 5)
    groups = np.array([f"g{i}" for i in range(125)])
    for plan in folds.plans(labels, groups, 5, 2):
        assert len(set(plan.tolist())) == 5 and folds.sound(labels, plan)
