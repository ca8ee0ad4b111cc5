from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.federation import choice, labels
from protocols.federation.counts import MAX_COUNT, agree, coarse, read_counts
from protocols.federation.head import Head, Standard


@pytest.mark.parametrize(
    ("sites", "strategy"), [(2, "fedprox"), (3, "median"), (4, "median"), (5, "trimmed"), (20, "trimmed")]
)
def test_the_default_is_as_robust_as_so_many_sites_allow(sites: int, strategy: str) -> None:
    assert choice.automatic(sites) == strategy


@given(st.integers(3, 200))
def test_trimming_takes_at_least_one_off_each_side_and_leaves_something(replies: int) -> None:
    taken = int(choice.trim_fraction(replies) * replies)
    assert taken >= 1
    assert replies - 2 * taken >= 1


@given(st.integers(1, 200))
def test_krum_keeps_to_the_bound_of_its_proof(replies: int) -> None:
    numbers = choice.krum(replies)
    assert numbers.malicious == 0 or replies >= 2 * numbers.malicious + 3
    assert 1 <= numbers.selected <= replies


def test_more_than_half_is_a_quorum() -> None:
    assert [choice.quorum(n) for n in (0, 2, 3, 6, 7)] == [2, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("count", "said"), [(0, 0), (1, 10), (9, 10), (14, 10), (16, 20), (330, 500), (300, 200), (10**12, MAX_COUNT)]
)
def test_counts_are_stated_coarsely(count: int, said: int) -> None:
    assert coarse(count) == said


@pytest.mark.parametrize("value", [[10], [10, 11], [10, -10], [10, 10.0], [10, True], "ab", [10, 10**12], None])
def test_counts_that_cannot_be_are_refused(value: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_counts(value, 2)
    assert caught.value.code == "federation.reply_count"


def test_every_class_counts_alike_over_all_sites() -> None:
    weights, mean_images = agree([np.array([100.0, 0.0]), np.array([50.0, 50.0])])
    assert weights[0] * 150 == pytest.approx(weights[1] * 50)
    assert mean_images == 100


def test_a_site_that_claims_very_many_images_moves_little() -> None:
    honest = [np.array([50.0, 50.0])] * 4
    weights, mean_images = agree([*honest, np.array([1e6, 0.0])])
    assert mean_images <= 200
    assert weights[1] / weights[0] <= 3.1


def test_a_class_that_nobody_has_weighs_nothing() -> None:
    weights, _ = agree([np.array([50.0, 0.0])])
    assert weights.tolist() == [1.0, 0.0]


def test_a_label_of_two_sites_is_taken_in_and_one_of_a_single_site_left_out() -> None:
    sites = {"a": ("ill", "well", "odd"), "b": ("ill", "odd"), "c": ("well", "ill", "Odd")}
    space = labels.union(("ill", "well"), sites)
    assert space.labels == ("ill", "well", "odd")
    assert space.refused == {"c": ("Odd",)}
    assert space.mask(sites["b"]).tolist() == [True, False, True]


def test_a_site_with_fewer_than_two_common_labels_is_refused_with_the_reason() -> None:
    space = labels.union(("ill", "well"), {"a": ("ill", "fine")})
    with pytest.raises(ProtocolError) as caught:
        space.mask(("ill", "fine"))
    assert caught.value.code == "federation.labels_disjoint"
    assert "ill, well" in caught.value.message()


@pytest.mark.parametrize("value", [[], ["a", "a"], ["a", 1], ["a\n"], "a", ["x" * 121], None])
def test_labels_that_cannot_be_read_are_refused(value: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        labels.read_labels(value)
    assert caught.value.code == "federation.reply_labels"


def test_shared_coordinates_leave_the_logits_as_they_are() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(3, [0.1, 1.0, 10.0, 0.0], (50, 4)).astype(np.float32)
    weights = generator.normal(size=(4, 2)).astype(np.float32)
    bias = generator.normal(size=2).astype(np.float32)
    standard = Standard.of(features)
    head = standard.standardised(weights, bias)
    np.testing.assert_allclose(head.logits(standard.apply(features)), features @ weights + bias, atol=1e-3)
    plain_weights, plain_bias = standard.plain(head)
    np.testing.assert_allclose(features @ plain_weights + plain_bias, features @ weights + bias, atol=1e-3)
    assert np.isfinite(standard.apply(features)).all()


def test_a_head_becomes_flat_and_back() -> None:
    head = Head(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([7, 8], np.float32))
    back = head.like(head.flat())
    np.testing.assert_array_equal(back.weights, head.weights)
    np.testing.assert_array_equal(back.bias, head.bias)
