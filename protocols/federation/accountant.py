"""What noise at the sites guarantees: the exact epsilon of the Gaussian mechanism, repeated. Pure arithmetic.

Neighbours are two whole data sets of a site: whatever the site holds, what leaves it could as likely have come from other
images, up to e^epsilon, with a chance of delta to fail. Clipped at C, two changes differ by 2 C at most, and noise has the
deviation ``noise`` times C. Repeating the mechanism R times is one with the mean of sqrt(R) times that (Gaussian differential
privacy, Dong et al. 2019); its epsilon follows from Balle and Wang 2018, equation 6. Nothing is gained from drawing sites by
chance, since all are asked.
"""

from __future__ import annotations

import math

DELTA = 1e-5
_MOST = 1e6


def epsilon(noise: float, releases: int, delta: float = DELTA) -> float | None:
    """Epsilon after ``releases`` changes of a head; None: no guarantee worth the name.

    Args:
        noise: standard deviation in units of the longest change.
        releases: messages with a change that left the site.
        delta: chance that the guarantee fails.
    """
    if noise <= 0:
        return None
    return gaussian_epsilon(2 * math.sqrt(releases) / noise, delta)


def gaussian_epsilon(mu: float, delta: float) -> float | None:
    """The smallest epsilon at which telling N(0, 1) from N(``mu``, 1) is (epsilon, delta)-private."""
    if mu <= 0:
        return 0.0
    low, high = 0.0, 1.0
    while _delta(mu, high) > delta:
        high *= 2
        if high > _MOST:
            return None
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _delta(mu, middle) > delta else (low, middle)
    return high


def _delta(mu: float, eps: float) -> float:
    """Delta of the Gaussian mechanism; the second term as a product of logarithms, which do not overflow."""
    first = 0.5 * math.erfc((eps / mu - mu / 2) / math.sqrt(2))
    beyond = (eps / mu + mu / 2) / math.sqrt(2)
    tail = 0.5 * math.erfc(beyond)
    if tail > 0:
        second = math.exp(min(eps + math.log(tail), 0.0))
    else:  # erfc's own asymptote
        second = math.exp(min(eps - beyond**2 - math.log(2 * beyond * math.sqrt(math.pi)), 0.0))
    return max(0.0, first - second)
