"""Results compared: which of two is better, by how much, and whether values rise beyond chance.

Two values differ when their difference lies outside its 95 % interval: Student's over targets that both have
(the same target, base model and seeds make a pair), otherwise the two intervals' halves in quadrature.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unpromptable.reporting.row import Line
from unpromptable.scoring import verdict
from unpromptable.scoring.estimates import Estimate

# +1: larger is better
SIGNS = {
    **{c.metric: c.sign for c in verdict.COLUMNS},
    "sscd": -1,
    "deviation": -1,
    "wrong": -1,
    "right": 1,
    "lpips_others": -1,
    "ssim_others": 1,
}
CHANCE = 0.05  # of a rank correlation this strong in values without order
Answer = bool | None  # of one comparison; None: cannot be told


@dataclass(frozen=True)
class Result:
    """What a claim is held against: a line of a run, of the paper's table, or of the theory's checks."""

    name: str
    metrics: dict[str, Estimate]
    done: bool = True
    each: dict[str, dict[str, float]] = field(default_factory=dict)  # by target: the means of the metrics

    def value(self, metric: str) -> Estimate:
        """A metric. Raises KeyError where the result has none of that name."""
        return self.metrics[metric]

    def has(self, metrics: Sequence[str]) -> bool:
        """Whether there is a number of each of these."""
        return self.done and all(m in self.metrics for m in metrics)


def of_line(line: Line) -> Result:
    """A line of a run."""
    found = {k: e for k, e in line.metrics.items() if e is not None}
    return Result(line.name, found, line.ended, line.each)


def of_theory(rows: Sequence[dict[str, Any]]) -> list[Result]:
    """The statements of theory.json."""
    told = ("name", "status")
    return [Result(r["name"], {k: Estimate(**v) for k, v in r.items() if k not in told}) for r in rows]


def of_paper(rows: Sequence[dict[str, Any]]) -> list[Result]:
    """The paper's rows of an experiment; the interval is what the printed digits leave open."""
    keys = [k for k in rows[0] if k != "name"] if rows else []
    half = {k: 0.5 * 10.0 ** -max(_decimals(r[k]) for r in rows) for k in keys}
    printed = lambda r: {k: Estimate(float(r[k]), r[k] - half[k], r[k] + half[k], 1) for k in keys}
    return [Result(str(r["name"]), printed(r)) for r in rows]


def _decimals(value: float) -> int:
    return len(repr(value).partition(".")[2]) if isinstance(value, float) and value % 1 else 0


def better(a: Result, b: Result, metric: str) -> Answer:
    """Whether a is better than b."""
    apart, open_ = difference(a, b, metric)
    gain = SIGNS[metric] * apart
    return None if abs(gain) < open_ or not gain else gain > 0


def difference(a: Result, b: Result, metric: str) -> tuple[float, float]:
    """a minus b, and half of its 95 % interval."""
    from scipy.stats import t

    pairs = [a.each[k][metric] - b.each[k][metric] for k in a.each if k in b.each]
    if len(pairs) < 2:
        x, y = a.value(metric), b.value(metric)
        return x.mean - y.mean, float(np.hypot(_width(x), _width(y)) / 2)
    return float(np.mean(pairs)), float(
        t.ppf(0.975, len(pairs) - 1) * np.std(pairs, ddof=1) / np.sqrt(len(pairs))
    )


def _width(value: Estimate) -> float:
    """Of the 95 % interval; without one the value may lie anywhere."""
    return np.inf if value.low is None or value.high is None else value.high - value.low


def alike(a: Result, b: Result, metric: str, within: float) -> Answer:
    """Whether b differs from a by less than a share of a's value."""
    apart, open_ = difference(a, b, metric)
    allowed = within * abs(a.value(metric).mean)
    return True if abs(apart) + open_ <= allowed else False if abs(apart) - open_ > allowed else None


def rises(values: np.ndarray) -> Answer:
    """Whether values rise with their position, by the exact distribution of the rank correlation."""
    from scipy.stats import rankdata

    ranks = rankdata(values) - (len(values) + 1) / 2
    order = np.arange(len(values)) - (len(values) - 1) / 2
    chance = np.array(list(itertools.permutations(ranks))) @ order
    if np.mean(chance >= ranks @ order - 1e-9) < CHANCE:
        return True
    return False if np.mean(chance <= ranks @ order + 1e-9) < CHANCE else None
