"""The Frechet distance between two sets of features, without a matrix square root that can turn complex.

Tr (S_a S_b)^1/2 is the sum of the roots of the eigenvalues of L^T S_a L, where S_b = L L^T: one Cholesky
factor, which is kept where b is compared with many, and one symmetric eigenproblem without eigenvectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unpromptable.planning.settings import FEWEST

GROUPS = 10  # of the delete-a-group jackknife
ROWS = 1024  # of features that are widened at a time


@dataclass(frozen=True)
class Statistics:
    """Mean (F,), covariance (F, F) with n-1 below the line, both float64, and the number of images."""

    mean: np.ndarray
    covariance: np.ndarray
    n: int

    @cached_property
    def factor(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Lower L (F, F), an order of the features (F,) and the rank r, below n: L L^T is the covariance in
        that order, and columns from r on are 0.
        """
        from scipy.linalg import lapack

        lower, order, rank, _ = lapack.dpstrf(self.covariance, lower=1)
        rank = min(int(rank), self.n - 1)
        lower = np.tril(lower)
        lower[:, rank:] = 0
        return np.asfortranarray(lower), order - 1, rank


@dataclass(frozen=True)
class Sums:
    """What statistics are made of: n, and the sums of features less `centre` (F,) and of their products (F,
    F). Images are left out by a difference.
    """

    n: int
    centre: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def __sub__(self, left_out: Sums) -> Sums:
        return Sums(
            self.n - left_out.n, self.centre, self.first - left_out.first, self.second - left_out.second
        )

    def statistics(self) -> Statistics:
        """Raises ValueError for a single image."""
        if self.n < 2:
            raise ValueError(f"frechet: {self.n} image(s) have no covariance; sample at least 2")
        mean = self.first / self.n
        covariance = (self.second - np.outer(self.first, mean)) / (self.n - 1)
        return Statistics(self.centre + mean, covariance, self.n)


def sums(features: np.ndarray, centre: np.ndarray | None = None) -> Sums:
    """Of features (N, F), widened to float64 some rows at a time; about their mean, or a given centre."""
    if centre is None:
        centre = features.mean(0, dtype=np.float64)
    first, second = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), ROWS):
        wide = features[start : start + ROWS] - centre
        first += wide.sum(0)
        second += wide.T @ wide
    return Sums(len(features), centre, first, second)


def statistics(features: np.ndarray) -> Statistics:
    """Of features (N, F), as pytorch-fid takes them. Raises ValueError for a single image."""
    return sums(features).statistics()


def distance(a: Statistics, b: Statistics) -> float:
    """|mu_a - mu_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^1/2), never below 0, as rounding may be.

    Raises ValueError where a statistic is not finite.
    """
    apart = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance)
    if not np.isfinite(apart):
        raise ValueError("frechet: features are not finite; look for damaged pictures or networks")
    return max(0.0, float(apart - 2 * _overlap(a, b)))


def interval(a: np.ndarray, b: np.ndarray, paired: bool) -> tuple[float, float, float]:
    """The distance of features a and b with a 95 % interval, from leaving out a tenth of the images at a
    time: Student's over the groups, since the normal one holds 92 % of the time at any number of images.

    Paired sets leave out the same images on both sides; otherwise b is taken as it is, since its n is far
    larger. Raises ValueError where there are too few to leave some out.
    """
    if len(a) < FEWEST:
        raise ValueError(f"frechet: {len(a)} images; an interval takes {FEWEST}, so sample at least as many")
    from scipy.stats import t

    whole_a, whole_b = sums(a), sums(b)
    fixed = whole_b.statistics()
    whole = distance(whole_a.statistics(), fixed)
    groups = min(GROUPS, len(a) // 2)
    left = []
    for g in range(groups):
        rest = (whole_a - sums(a[g::groups], whole_a.centre)).statistics()
        other = (whole_b - sums(b[g::groups], whole_b.centre)).statistics() if paired else fixed
        left.append(distance(rest, other))
    error = np.sqrt((groups - 1) / groups * np.square(np.array(left) - np.mean(left)).sum())
    half = float(t.ppf(0.975, groups - 1) * error)
    return whole, max(0.0, whole - half), whole + half


def _overlap(a: Statistics, b: Statistics) -> float:
    """Tr (S_a S_b)^1/2. No more than n-1 eigenvalues of a set of n are other than 0; beyond is rounding."""
    from scipy.linalg import eigh, lapack

    lower, order, rank = b.factor
    if not rank:
        return 0.0
    ordered = a.covariance[np.ix_(order, order)].T  # symmetric, so this is itself in LAPACK's layout
    product = lapack.dsygst(ordered, lower, itype=2, lower=1, overwrite_a=1)[0][:rank, :rank]
    asked = {"eigvals_only": True, "driver": "evd", "overwrite_a": True, "check_finite": False}
    return float(np.sqrt(eigh(product, lower=True, **asked)[1 - a.n :].clip(0)).sum())
