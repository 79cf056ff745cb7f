"""The price of "cannot be told": how many targets, training seeds, images or settings would decide a claim,
where what was seen stays as it is, and how long they take.

A mean over n values with a 95 % interval of +-half tells a difference from nothing at n' =
n*(half/difference)^2 values, with Student's quantile of n' where the interval is over few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import comparing
from .comparing import SETTINGS, Compared, Result

# over which Student's interval is, or an exact test
FEW = ("targets", "training seeds", "noise draws", SETTINGS)
MOST = 1000  # of these; others are cheaper
MOST_IMAGES = 1_000_000


@dataclass(frozen=True)
class Price:
    """What would decide an open claim, in words and as numbers."""

    text: str
    number: int | None = None  # that would decide it; None where none within reason would, or nothing tells
    now: int | None = None
    of: str = ""  # targets | training seeds | noise draws | images | settings
    minutes: float | None = None  # more of two cores, at the seconds measured; None: not known


def of(open_: Compared, results: Sequence[Result]) -> Price:
    """The price of an open comparison of these results."""
    if not open_.over:
        return Price("another that forgets: there is none to compare with")
    if open_.over == "printed digits":
        return Price("more printed digits", of=open_.over)
    number, most = needed(open_), MOST if open_.over in FEW else MOST_IMAGES
    trend = _trend(open_) if open_.over == SETTINGS else ""
    if number is None:
        return Price(f"{trend}no number of {open_.over} below {most:,} would tell", None, open_.n, open_.over)
    spent = sum(r.minutes(open_.over) for r in results)
    minutes = spent * (number / open_.n - 1) if spent else None
    least = "at least " if np.isinf(open_.half) and open_.over != SETTINGS else ""
    text = f"{trend}{least}{number:,} {open_.over} instead of {open_.n:,}{_time(minutes)}"
    return Price(text, number, open_.n, open_.over, minutes)


def needed(open_: Compared) -> int | None:
    """How many would decide an open comparison; None where it takes too many, or nothing was seen."""
    gap, half, n = abs(open_.gap), open_.half, open_.n
    if open_.over == SETTINGS:
        return next((k for k in range(n + 1, MOST) if gap >= comparing.beyond_chance(k) - 1e-9), None)
    if math.isinf(half):
        return n + 1
    if not gap:
        return None
    if open_.over in FEW:
        return _student(gap, half, n)
    number = math.ceil(n * (half / gap) ** 2 - 1e-9)
    return number if number < MOST_IMAGES else None


def _student(gap: float, half: float, n: int) -> int | None:
    from scipy.stats import t

    deviation = half * math.sqrt(n) / t.ppf(0.975, n - 1)
    tried = np.arange(n + 1, MOST)
    able = t.ppf(0.975, tried - 1) * deviation / np.sqrt(tried) <= gap
    return int(tried[np.argmax(able)]) if able.any() else None


def _trend(open_: Compared) -> str:
    """What the exact test of a rank correlation asks for."""
    if math.isinf(open_.half):
        return f"{open_.n} settings in any order are within chance: "
    seen = abs(open_.gap)
    return (
        f"a rank correlation of {open_.half:.2f} over these {open_.n} settings ({seen:.2f} was seen), or"
        f" {seen:.2f} over more: "
    )


def _time(minutes: float | None) -> str:
    """Minutes, or hours, as people say them."""
    if minutes is None:
        return ""
    if minutes < 1:
        return ", less than a minute of two cores"
    if minutes < 120:
        return f", about {minutes:.0f} more minutes of two cores"
    return f", about {minutes / 60:,.0f} more hours of two cores"
