from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.releases.proportions import newcombe, standardised, wilson


def test_wilson_gives_the_published_bounds() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29, at 95 %."""
    for hits, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(hits, trials, 0.95) == pytest.approx((low, high), abs=5e-5)


def test_newcombe_gives_the_published_bounds() -> None:
    """Newcombe 1998 (differences), table II, method 10: 56/70 against 48/80, 9/10 against 3/10, 10/10 against 0/10."""
    for a, m, b, n, low, high in (
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (10, 10, 0, 10, 0.6075, 1),
    ):
        assert newcombe(a, m, b, n, 0.95) == pytest.approx((low, high), abs=5e-5)


def test_nothing_counted_says_nothing() -> None:
    assert wilson(0, 0, 0.99) == (0, 1) and newcombe(3, 3, 0, 0, 0.99) == (-1, 1)
    assert standardised([(1, 0)], [(0, 5)]) == (0, 0, 0, 0)


@given(st.integers(0, 200), st.integers(1, 200), st.floats(0.6, 0.999))
def test_a_share_lies_within_its_bounds(hits: int, more: int, confidence: float) -> None:
    low, high = wilson(hits, hits + more, confidence)
    assert 0 <= low <= hits / (hits + more) <= high <= 1


def test_a_busier_unsure_site_is_no_change() -> None:
    now, before = [(90, 100), (1, 10)], [(9, 10), (10, 100)]  # each site as unsure as ever; pooled 83 % against 17 %
    hits, trials, other, others = standardised(now, before)
    assert hits / trials == pytest.approx(other / others)
    assert others < 20  # few results at the busy site carry the comparison
