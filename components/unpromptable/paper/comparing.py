"""Results compared: which of two is better, by how much, and whether values rise beyond chance.

Two values differ when their difference lies outside its 95 % interval: Student's over targets that both have
(the same target, training seed, base model and image seeds make a pair; the pairs of a target are averaged
first), otherwise the two intervals' halves in quadrature.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

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
SETTINGS = "settings"  # what a trend is over
DRAWING = ("inject", "judge", "sample", "gather", "score")  # the steps of more images or noise draws
AT_ONCE = 2  # steps that a run of two cores has at work


class Compared(NamedTuple):
    """One comparison, or several of which all have to hold: its answer, and the numbers it rests on."""

    answer: Answer
    gap: float = 0.0  # from where the answer turns: above 0 it speaks for, below 0 against
    half: float = 0.0  # of its 95 % interval, in the same units; infinite where nothing tells it
    n: int = 1  # of what the interval is over
    over: str = ""  # targets | training seeds | noise draws | images | settings | ...


class Difference(NamedTuple):
    """A difference, half of its 95 % interval, and over how many targets, seeds, draws or images that is."""

    apart: float
    half: float
    n: int


@dataclass(frozen=True)
class Result:
    """What a claim is held against: a line of a run, of the paper's table, or of the theory's checks."""

    name: str
    metrics: dict[str, Estimate]
    done: bool = True
    each: dict[str, dict[str, float]] = field(default_factory=dict)  # by target: the means of the metrics
    # by target and training seed, where there are several
    by_seed: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    over: str = ""  # what all intervals are over; empty of one cell, where it depends on the metric
    several: bool = False  # whether one cell has several targets
    seconds: dict[str, float] = field(default_factory=dict)  # by step, of all its cells

    def value(self, metric: str) -> Estimate:
        """A metric. Raises KeyError where the result has none of that name."""
        return self.metrics[metric]

    def has(self, metrics: Sequence[str]) -> bool:
        """Whether there is a number of each of these."""
        return self.done and all(m in self.metrics for m in metrics)

    def unit(self, metric: str) -> str:
        """What the interval of a metric is over."""
        if self.over:
            return self.over
        if not metric.startswith("sscd"):
            return "images"
        return "targets" if self.several else "noise draws"

    def minutes(self, over: str) -> float:
        """Of two cores, as measured, for what grows with the number of these; 0 where nothing is known."""
        grows = DRAWING if over in ("images", "noise draws") else tuple(self.seconds)
        return sum(s for step, s in self.seconds.items() if step in grows) / AT_ONCE / 60


def of_line(line: Line) -> Result:
    """A line of a run. A Fréchet distance of one that stopped drawing is of fewer images: not compared."""
    cut = verdict.FRECHET if line.stopped else ()
    found = {k: e for k, e in line.metrics.items() if e is not None and k not in cut}
    over = "targets" if len(set(line.targets)) > 1 else "training seeds" if line.by_seed else ""
    several = any(", " in target for target in line.targets)
    seconds = {step: took.seconds for step, took in line.took.items()}
    return Result(line.name, found, line.ended, line.each, line.by_seed, over, several, seconds)


def of_theory(rows: Sequence[dict[str, Any]]) -> list[Result]:
    """The statements of theory.json."""
    told = ("name", "status")
    found = lambda r: {k: Estimate(**v) for k, v in r.items() if k not in told}
    return [Result(r["name"], found(r), over="problems") for r in rows]


def of_paper(rows: Sequence[dict[str, Any]]) -> list[Result]:
    """The paper's rows of an experiment; the interval is what the printed digits leave open."""
    keys = [k for k in rows[0] if k != "name"] if rows else []
    half = {k: 0.5 * 10.0 ** -max(_decimals(r[k]) for r in rows) for k in keys}
    printed = lambda r: {k: Estimate(float(r[k]), r[k] - half[k], r[k] + half[k], 1) for k in keys}
    return [Result(str(r["name"]), printed(r), over="printed digits") for r in rows]


def _decimals(value: float) -> int:
    return len(repr(value).partition(".")[2]) if isinstance(value, float) and value % 1 else 0


def all_of(found: Sequence[Compared]) -> Compared:
    """Comparisons that all have to hold, as one. An open one rests on that which decides it: the nearest that
    speaks against, or the farthest where none does. Without any nothing is told.
    """
    if not found:
        return Compared(None)
    if any(c.answer is False for c in found):
        return next(c for c in found if c.answer is False)
    open_ = [c for c in found if c.answer is None]
    if not open_:
        return found[0]
    against = [c for c in open_ if c.gap < 0]
    return min(against, key=_far) if against else max(open_, key=_far)


def _far(c: Compared) -> float:
    """By how much its interval is too wide."""
    return c.half / abs(c.gap) if c.gap else np.inf


def better(a: Result, b: Result, metric: str) -> Compared:
    """Whether a is better than b."""
    apart, half, n = difference(a, b, metric)
    gain = SIGNS[metric] * apart
    answer = None if abs(gain) < half or not gain else bool(gain > 0)
    return Compared(answer, gain, half, n, a.unit(metric))


def difference(a: Result, b: Result, metric: str) -> Difference:
    """a minus b."""
    pairs = _pairs(a, b, metric)
    if len(pairs) > 1:
        return _student(np.array([np.mean(of) for of in pairs]))
    if len(pairs) == len(a.each) == len(b.each) == 1 and len(pairs[0]) > 1:
        return _student(np.array(pairs[0]))
    x, y = a.value(metric), b.value(metric)
    return Difference(x.mean - y.mean, float(np.hypot(_width(x), _width(y)) / 2), min(x.n, y.n))


def _student(values: np.ndarray) -> Difference:
    from scipy.stats import t

    n = len(values)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Difference(float(np.mean(values)), half, n)


def _pairs(a: Result, b: Result, metric: str) -> list[list[float]]:
    """The differences at each target that both have: of each training seed that both have, or of means."""
    both = [k for k in a.each if k in b.each]
    if not (a.by_seed and b.by_seed):
        return [[a.each[k][metric] - b.each[k][metric]] for k in both]
    found = [
        [of[metric] - b.by_seed[k][s][metric] for s, of in a.by_seed[k].items() if s in b.by_seed[k]]
        for k in both
    ]
    return [of for of in found if of]


def _width(value: Estimate) -> float:
    """Of the 95 % interval; without one the value may lie anywhere."""
    return np.inf if value.low is None or value.high is None else value.high - value.low


def below(a: Result, metric: str, limit: float) -> Compared:
    """Whether a value's whole interval lies below a limit."""
    v = a.value(metric)
    if v.low is None or v.high is None:
        return Compared(None, limit - v.mean, np.inf, v.n, a.unit(metric))
    answer = True if v.high < limit else False if v.low >= limit else None
    half = v.high - v.mean if v.mean < limit else v.mean - v.low
    return Compared(answer, limit - v.mean, half, v.n, a.unit(metric))


def above(a: Result, metric: str, limit: float) -> Compared:
    """Whether a value's whole interval lies above a limit."""
    v = a.value(metric)
    if v.low is None or v.high is None:
        return Compared(None, v.mean - limit, np.inf, v.n, a.unit(metric))
    answer = True if v.low > limit else False if v.high <= limit else None
    half = v.mean - v.low if v.mean > limit else v.high - v.mean
    return Compared(answer, v.mean - limit, half, v.n, a.unit(metric))


def alike(a: Result, b: Result, metric: str, within: float) -> Compared:
    """Whether b differs from a by less than a share of a's value."""
    apart, half, n = difference(a, b, metric)
    allowed = within * abs(a.value(metric).mean)
    answer = True if abs(apart) + half <= allowed else False if abs(apart) - half > allowed else None
    return Compared(answer, allowed - abs(apart), half, n, a.unit(metric))


def rises(values: np.ndarray) -> Compared:
    """Whether values rise with their position, by the exact distribution of the rank correlation, which is
    the gap; half is the least that is beyond chance.
    """
    from scipy.stats import rankdata

    ranks = rankdata(values) - (len(values) + 1) / 2
    order = np.arange(len(values)) - (len(values) - 1) / 2
    chance = np.array(list(itertools.permutations(ranks))) @ order
    up, down = (np.mean(s * chance >= s * (ranks @ order) - 1e-9) < CHANCE for s in (1, -1))
    size = np.sqrt((ranks @ ranks) * (order @ order))
    seen = float(ranks @ order / size) if size else 0.0
    return Compared(
        True if up else False if down else None, seen, beyond_chance(len(values)), len(values), SETTINGS
    )


@cache
def beyond_chance(number: int) -> float:
    """The least rank correlation of so many values without ties that is beyond chance; infinite of three or
    fewer. Exact up to seven values, then by Student's t.
    """
    from scipy.stats import t

    if number > 7:
        q = float(t.ppf(1 - CHANCE, number - 2))
        return q / float(np.sqrt(number - 2 + q * q))
    order = np.arange(number) - (number - 1) / 2
    chance = np.sort(np.array(list(itertools.permutations(order))) @ order)[::-1]
    able = [c for c in np.unique(chance) if np.mean(chance >= c - 1e-9) < CHANCE]
    return float(min(able) / (order @ order)) if able else np.inf
