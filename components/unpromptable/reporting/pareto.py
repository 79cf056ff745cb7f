"""Forgetting against integrity (Fig. 10): SSCD against SSIM and LPIPS, the threshold, and the Pareto
front.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unpromptable.scoring import verdict
from unpromptable.scoring.estimates import Estimate

from . import figures, groups
from .row import Row

AXES = (("ssim", "SSIM ↑", 1), ("lpips", "LPIPS ↓", -1))
NEAR = {1: 5.0, -1: -14.0}  # points from a point's middle to the baseline of a label above or below it
APART = 12.0  # points between the baselines of two labels that would overlap


def front(rows: Sequence[Row], key: str, sign: int) -> list[str]:
    """Names of the rows that no other beats in both: a lower SSCD and a better `key` (sign 1: higher is
    better), by rising SSCD.
    """
    best, kept = None, []
    for row in sorted(
        (r for r in rows if not r.stopped), key=lambda r: (r.value("sscd").mean, -sign * r.value(key).mean)
    ):
        if best is None or sign * row.value(key).mean > best:
            best = sign * row.value(key).mean
            kept.append(row.name)
    return kept


def plot(folder: Path, rows: Sequence[Row]) -> Path:
    """Two panels; points on the front are filled and joined, each point has its name or, in a sweep, its
    value.
    """
    plt = figures.pyplot()
    done = figures.finished(rows)
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.2), dpi=150)
    for axis, (key, title, sign) in zip(axes, AXES):
        _points(axis, done, key, sign)
        axis.axvline(verdict.THRESHOLD, color=figures.RED, ls="--", lw=1)
        axis.set(xlabel="SSCD (forgotten left of the dashed line)", ylabel=title)
        axis.margins(0.14)
        axis.grid(color=figures.GRID, lw=0.5)
        figures.open_corner(axis)
        names = groups.short([r.name for r in done])
        _names(axis, [(*_at(r, key), name) for r, name in zip(done, names)], -sign)
    axes[0].legend(frameon=False, fontsize=8, loc="best", title=_common(done), title_fontsize=8)
    figure.tight_layout()
    return figures.write(folder, figure, "tradeoff")


def _at(row: Row, key: str) -> tuple[float, float]:
    """Where a row's point lies."""
    return row.value("sscd").mean, row.value(key).mean


def _points(axis: Any, done: Sequence[Row], key: str, sign: int) -> None:
    """The front's line, and every row's point with its intervals."""
    chosen = front(done, key, sign)
    line = [_at(r, key) for name in chosen for r in done if r.name == name]
    axis.plot(*zip(*line), color=figures.BLUE, lw=1.4, alpha=0.5, zorder=1, label="Pareto front")
    for row in done:
        on = row.name in chosen
        axis.errorbar(
            *_at(row, key),
            xerr=_sides(row.value("sscd")),
            yerr=_sides(row.value(key)),
            fmt="o",
            ms=7,
            color=figures.BLUE if on else figures.INK,
            mfc=figures.BLUE if on else "white",
            elinewidth=0.7,
            ecolor="#bbb",
            zorder=2,
        )


def _sides(value: Estimate) -> list[list[float]] | None:
    if value.low is None or value.high is None:
        return None
    return [[max(value.mean - value.low, 0)], [max(value.high - value.mean, 0)]]


def _common(rows: Sequence[Row]) -> str | None:
    """What the labels leave out: the words that all names begin with."""
    words = os.path.commonprefix([r.name.split() for r in rows]) if len(rows) > 1 else []
    return f"points: {figures.words(' '.join(words))}" if words else None


def _names(axis: Any, points: list[tuple[float, float, str]], side: int) -> None:
    """A label to the right of each point, above (side 1) or below it (-1): off the front, and pushed on where
    it would lie on another.
    """
    to_screen, scale = axis.transData.transform, 72 / axis.figure.dpi
    placed: list[tuple[float, float, float]] = []
    for x, y, text in sorted(points, key=lambda p: side * p[1]):
        left, bottom = to_screen((x, y)) * scale
        width, lift = 5.2 * len(text), NEAR[side]
        while any(abs(left - a) < max(width, w) + 4 and abs(bottom + lift - b) < APART for a, b, w in placed):
            lift += 2 * side
        placed.append((left, bottom + lift, width))
        line = {"arrowstyle": "-", "lw": 0.4, "color": "#aaa"} if abs(lift - NEAR[side]) > 7 else None
        axis.annotate(
            figures.words(text),
            (x, y),
            xytext=(7, lift),
            textcoords="offset points",
            fontsize=8.5,
            color=figures.INK,
            arrowprops=line,
            bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.4},
        )
