"""A mean, how far it may be off, and over what it was taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over n measurements; low and high are None where nothing tells how far
    it may be off: of a single measurement, or of several targets of which one alone finished.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def estimate(values: np.ndarray) -> Estimate:
    """Mean and Student's interval of independent values (n,), be they eight noise draws or 10,000 images."""
    from scipy.stats import t

    values = np.asarray(values, np.float64).ravel()
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Estimate(mean, None, None, 1)
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def share(count: float, n: int) -> Estimate:
    """The share count/n with Wilson's 95 % interval, which keeps its width where nothing was counted; a tie
    may count half.
    """
    z, p = 1.96, count / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, float(max(0.0, middle - half)), float(min(1.0, middle + half)), n)


def over_targets(values: list[np.ndarray]) -> Estimate:
    """Mean over targets of each one's mean, values one array per target: of its noise draws, or of one
    number.

    The interval is over targets, which are what was drawn from the world: draws of one target are alike. A
    single target's is over its draws. n is the number of what the interval is over.
    """
    if len(values) == 1:
        return estimate(values[0])
    return estimate(np.array([np.mean(v) for v in values]))


def of_one(values: list[np.ndarray], least: bool = False) -> Estimate:
    """The estimate over its own values of the target that is worst: of a promise that has to hold for each.
    least: see `worst`.
    """
    return worst([estimate(v) for v in values], least)


def worst(found: Iterable[Estimate], least: bool = False) -> Estimate:
    """The one whose interval reaches highest, or lowest where `least`: a mean that is better may be less
    certain.
    """
    return min(found, key=lambda e: end(e, least)) if least else max(found, key=lambda e: end(e, least))


def end(e: Estimate, least: bool = False) -> float:
    """The upper end of an interval, or the lower one; the mean where there is none."""
    found = e.low if least else e.high
    return e.mean if found is None else found


def part(folder: str, k: int, name: str) -> str:
    """The name of the value of part k of a metric, such as one prompt's, as every tracking server takes it:
    letters, digits and a few signs. folder: of no metric's name.
    """
    return f"{folder}/{k:02d} {re.sub(r'[^a-zA-Z0-9_. -]', '-', name)[:80]}".strip()
