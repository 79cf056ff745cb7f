"""A mean, how far it may be off, and over what it was taken."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over n measurements; low and high are None where nothing tells how far
    it may be off: a mean over targets of which one alone finished.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def estimate(values: np.ndarray) -> Estimate:
    """Mean and normal interval of independent values (n,); one value has an interval of no width."""
    values = np.asarray(values, np.float64).ravel()
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return Estimate(
        float(values.mean()), float(values.mean() - half), float(values.mean() + half), len(values)
    )


def over_targets(values: list[np.ndarray]) -> Estimate:
    """Mean over targets of each one's mean, values one array per target: of its noise draws, or of one
    number.

    The interval is over targets, which are what was drawn from the world: draws of one target are alike. A
    single target's is over its draws. n is the number of what the interval is over.
    """
    if len(values) == 1:
        return estimate(values[0])
    return students(np.array([np.mean(v) for v in values]))


def of_one(values: list[np.ndarray], least: bool = False) -> Estimate:
    """The estimate of the target whose mean is the largest, or the least, over its own values: of a promise
    that has to hold for each.
    """
    found = [estimate(v) for v in values]
    return (min if least else max)(found, key=lambda e: e.mean)


def part(folder: str, k: int, name: str) -> str:
    """The name of the value of part k of a metric, such as one prompt's, as every tracking server takes it:
    letters, digits and a few signs. folder: of no metric's name.
    """
    return f"{folder}/{k:02d} {re.sub(r'[^a-zA-Z0-9_. -]', '-', name)[:80]}".strip()


def students(values: np.ndarray) -> Estimate:
    """Mean and Student's 95 % interval of a few independent values (n,), as the lines of a table have it."""
    from scipy.stats import t

    n, mean = len(values), float(np.mean(values))
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return Estimate(mean, mean - half, mean + half, n)
