"""The Frechet distance between two sets of features, without a matrix square root that can turn complex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GROUPS = 10  # of the delete-a-group jackknife


@dataclass(frozen=True)
class Statistics:
    """Mean (F,), covariance (F, F) with n-1 below the line, both float64, and the number of images."""

    mean: np.ndarray
    covariance: np.ndarray
    n: int


def statistics(features: np.ndarray) -> Statistics:
    """Of features (N, F), as pytorch-fid takes them."""
    if len(features) < 2:
        raise ValueError(f"frechet: {len(features)} image(s) have no covariance; sample at least 2")
    wide = np.asarray(features, np.float64)
    return Statistics(wide.mean(0), np.cov(wide, rowvar=False), len(wide))


def distance(a: Statistics, b: Statistics) -> float:
    """|mu_a - mu_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^1/2), the root by two symmetric eigenproblems.

    Never below 0, as rounding may be.
    """
    root = _root(a.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ b.covariance @ root)
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(eigenvalues.clip(0)).sum()
    return max(0.0, float(np.square(a.mean - b.mean).sum() + spread))


def interval(a: np.ndarray, b: np.ndarray, paired: bool) -> tuple[float, float, float]:
    """The distance of features a and b with a 95 % interval, from leaving out a tenth of the images at a
    time.

    Paired sets leave out the same images on both sides; otherwise b is taken as it is, since its n is far
    larger.
    """
    whole, fixed = distance(statistics(a), statistics(b)), None if paired else statistics(b)
    groups = min(GROUPS, len(a) // 2)
    part = np.arange(len(a)) % groups
    left = [distance(statistics(a[part != g]), fixed or statistics(b[part != g])) for g in range(groups)]
    error = np.sqrt((groups - 1) / groups * np.square(np.array(left) - np.mean(left)).sum())
    return whole, max(0.0, whole - 1.96 * error), whole + 1.96 * error


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
