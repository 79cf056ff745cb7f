"""Confidence sequences: intervals of a mean that hold at every number of values at once, so that one may stop
by what they say.

The t-test martingale of Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means
with unknown variance" (arXiv 2310.03722): Lai's of 1976 with a Gaussian mixture over mean/deviation, here
N(0, 1/PHI). For values x_1 .. x_n of mean m and deviation s, and t^2 = n*(m - mu)^2/s^2,

    M_n(mu) = sqrt(r) * ((1 + t^2/(n-1)) / (1 + r*t^2/(n-1)))^(n/2),    r = PHI/(PHI + n).

Where mu is the mean, the chance that M_n(mu) ever reaches 1/alpha is at most alpha (Ville), for Gaussian
values exactly and for others in the limit; the interval is where it does not. As n grows it becomes Robbins'
normal mixture, s*sqrt((n + PHI)/n^2 * log((n + PHI)/(PHI*alpha^2))).
"""

from __future__ import annotations

import numpy as np

PHI = 1.0  # tightest for means of about a deviation; any value is valid


def interval(values: np.ndarray, alpha: float) -> tuple[float, float]:
    """Low and high of the mean of independent values (n,), at level alpha over all n; infinite for few."""
    n = len(values)
    t2 = square(n, alpha) if n > 1 else np.inf
    if t2 == np.inf:
        return -np.inf, np.inf
    half = np.std(values, ddof=1) * np.sqrt(t2 / n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def square(n: int, alpha: float) -> float:
    """The t^2 of n values at which the martingale is 1/alpha; infinite where it cannot be that large."""
    r = PHI / (PHI + n)
    k = (r * alpha**2) ** (-1 / n)
    return np.inf if k * r >= 1 else (n - 1) * (k - 1) / (1 - k * r)
