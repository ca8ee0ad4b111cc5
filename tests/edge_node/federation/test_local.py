from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from edge_node.federation.images import held_out
from edge_node.federation.local import SiteData, Task, balanced_accuracy, fit
from edge_node.federation.noise import clipped, noised
from protocols.federation.head import Head, Standard
from tests.support.federation import drawn_site

FOUND = drawn_site(1, images=80)
PLAIN = Standard(np.zeros(40, np.float32), np.ones(40, np.float32))
ZERO = Head(np.zeros((40, 2), np.float32), np.zeros(2, np.float32))
DATA = SiteData(FOUND.features, FOUND.labels, np.ones(2, dtype=bool))
EVEN = np.ones(2)


def test_the_fit_is_the_regularised_one_that_scikit_learn_finds() -> None:
    head = fit(DATA, ZERO, PLAIN, Task(2.0, EVEN, len(FOUND.labels)))
    difference = head.weights[:, 1] - head.weights[:, 0]
    # Two columns held at zero with strength mu are one difference held with mu / 2, over the mean of the images.
    rival = LogisticRegression(C=1 / (2.0 / 2 * len(FOUND.labels)), tol=1e-8, max_iter=1000)
    rival.fit(FOUND.features, FOUND.labels)
    np.testing.assert_allclose(difference, rival.coef_[0], atol=0.02 * np.abs(rival.coef_).max())


def test_a_stronger_pull_stays_nearer_to_the_shared_head() -> None:
    far, near = (fit(DATA, ZERO, PLAIN, Task(mu, EVEN, 80.0)) for mu in (1.0, 100.0))
    assert np.linalg.norm(near.flat()) < 0.3 * np.linalg.norm(far.flat())


def test_a_label_that_the_site_does_not_tell_apart_stays_as_it_is() -> None:
    three = Head(np.full((40, 3), 0.1, np.float32), np.full(3, 0.1, np.float32))
    masked = SiteData(FOUND.features, FOUND.labels, np.array([True, True, False]))
    head = fit(masked, three, PLAIN, Task(2.0, np.ones(3), 80.0))
    np.testing.assert_allclose(head.weights[:, 2], three.weights[:, 2], atol=1e-6)
    assert not np.allclose(head.weights[:, 0], three.weights[:, 0], atol=1e-3)
    assert balanced_accuracy(masked, head, PLAIN) == pytest.approx(
        balanced_accuracy(DATA, fit(DATA, ZERO, PLAIN, Task(2.0, EVEN, 80.0)), PLAIN), abs=0.1
    )


def test_a_small_site_does_not_vanish_and_a_big_one_does_not_decide_alone() -> None:
    small = fit(DATA, ZERO, PLAIN, Task(10.0, EVEN, 80_000.0))
    big = fit(DATA, ZERO, PLAIN, Task(10.0, EVEN, 1.0))
    quarter, fourfold = (fit(DATA, ZERO, PLAIN, Task(10.0, EVEN, 80.0 * f)) for f in (4, 0.25))
    np.testing.assert_allclose(small.weights, quarter.weights, atol=1e-6)
    np.testing.assert_allclose(big.weights, fourfold.weights, atol=1e-6)


def test_without_images_there_is_no_score() -> None:
    assert balanced_accuracy(DATA.rows(np.zeros(80, dtype=bool)), ZERO, PLAIN) is None


def test_whole_groups_are_held_out_and_the_same_ones_again() -> None:
    groups = np.array([f"p{i // 3}" for i in range(60)])
    kept = held_out(groups)
    assert kept.sum() == 12
    assert all(len(set(kept[groups == g])) == 1 for g in np.unique(groups))
    np.testing.assert_array_equal(kept[::-1], held_out(groups[::-1]))
    assert not held_out(np.array(["a", "b", "c", "d"])).any()


def test_clipping_keeps_the_direction_and_the_limit() -> None:
    head = fit(DATA, ZERO, PLAIN, Task(2.0, EVEN, 80.0))
    short = clipped(head, ZERO, 0.01)
    assert np.linalg.norm(short.flat()) == pytest.approx(0.01, rel=1e-3)
    assert np.dot(short.flat(), head.flat()) > 0
    assert clipped(short, ZERO, 1.0) is short


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    big = replace(ZERO, weights=np.zeros((4000, 2), np.float32))
    found = noised(big, 0.5, np.random.default_rng(3)).flat()
    assert found.std() == pytest.approx(0.5, rel=0.05)
    np.testing.assert_array_equal(noised(big, 0.0, np.random.default_rng(3)).flat(), big.flat())
