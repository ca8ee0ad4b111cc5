from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from protocols.federation.accountant import epsilon, gaussian_epsilon


@pytest.mark.parametrize(("mu", "delta"), [(0.5, 1e-5), (1.0, 1e-5), (1.768, 1e-5), (3.0, 1e-6)])
def test_it_is_the_point_at_which_the_exact_formula_gives_delta(mu: float, delta: float) -> None:
    found = gaussian_epsilon(mu, delta)
    assert found is not None
    exact = norm.cdf(mu / 2 - found / mu) - math.exp(found) * norm.cdf(-mu / 2 - found / mu)
    assert exact == pytest.approx(delta, rel=1e-3)


def test_it_is_below_the_bound_of_renyi_accounting_and_near_it() -> None:
    # Noise of 4 sensitivities and 50 rounds: 9.2 by Renyi accounting (delta 1e-5).
    found = gaussian_epsilon(math.sqrt(50) / 4, 1e-5)
    assert found is not None
    assert 8.0 < found < 9.2


def test_two_whole_data_sets_differ_by_twice_the_clip() -> None:
    assert epsilon(4.0, 50) == pytest.approx(gaussian_epsilon(2 * math.sqrt(50) / 4, 1e-5))


@given(st.floats(0.3, 50), st.integers(1, 200))
def test_more_noise_or_fewer_releases_never_cost_privacy(noise: float, releases: int) -> None:
    here, quieter, longer = epsilon(noise, releases), epsilon(noise * 1.5, releases), epsilon(noise, releases + 5)
    assert here is not None
    assert quieter is not None
    assert quieter <= here + 1e-9
    assert longer is None or longer >= here - 1e-9


def test_without_noise_nothing_is_guaranteed() -> None:
    assert epsilon(0.0, 1) is None


def test_hardly_any_noise_gives_a_large_figure_not_an_error() -> None:
    found = epsilon(0.05, 20)
    assert found is None or found > 1000
