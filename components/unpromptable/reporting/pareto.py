"""Forgetting against integrity (Fig. 10): SSCD against SSIM and LPIPS, the threshold, and the Pareto
front.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from unpromptable.scoring import verdict

from . import figures, groups

AXES = (("ssim", "SSIM ↑", 1), ("lpips", "LPIPS ↓", -1))
NEAR = {1: 5.0, -1: -14.0}  # points from a point's middle to the baseline of a label above or below it
APART = 12.0  # points between the baselines of two labels that would overlap


def front(rows: list[dict[str, Any]], key: str, sign: int) -> list[str]:
    """Names of the rows that no other beats in both: a lower SSCD and a better `key` (sign 1: higher is
    better), by rising SSCD.
    """
    best, kept = None, []
    for row in sorted(rows, key=lambda r: (r["sscd"]["mean"], -sign * r[key]["mean"])):
        if best is None or sign * row[key]["mean"] > best:
            best = sign * row[key]["mean"]
            kept.append(row["name"])
    return kept


def plot(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Two panels; points on the front are filled and joined, each point has its name or, in a sweep, its
    value.
    """
    plt = figures.pyplot()
    done = figures.finished(rows)
    names = dict(zip([r["name"] for r in done], groups.short([r["name"] for r in done])))
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.2), dpi=150)
    for axis, (key, title, sign) in zip(axes, AXES):
        chosen = front(done, key, sign)
        line = [(r["sscd"]["mean"], r[key]["mean"]) for n in chosen for r in done if r["name"] == n]
        axis.plot(*zip(*line), color=figures.BLUE, lw=1.4, alpha=0.5, zorder=1, label="Pareto front")
        for row in done:
            on = row["name"] in chosen
            x, y = row["sscd"], row[key]
            axis.errorbar(
                x["mean"],
                y["mean"],
                xerr=_sides(x),
                yerr=_sides(y),
                fmt="o",
                ms=7,
                color=figures.BLUE if on else figures.INK,
                mfc=figures.BLUE if on else "white",
                elinewidth=0.7,
                ecolor="#bbb",
                zorder=2,
            )
        axis.axvline(verdict.THRESHOLD, color=figures.RED, ls="--", lw=1)
        axis.set(xlabel="SSCD (forgotten left of the dashed line)", ylabel=title)
        axis.margins(0.14)
        axis.grid(color=figures.GRID, lw=0.5)
        figures.open_corner(axis)
        _names(axis, [(r["sscd"]["mean"], r[key]["mean"], names[r["name"]]) for r in done], -sign)
    axes[0].legend(frameon=False, fontsize=8, loc="best", title=_common(done), title_fontsize=8)
    figure.tight_layout()
    return figures.write(folder, figure, "tradeoff")


def _sides(value: dict[str, Any]) -> list[list[float]] | None:
    return (
        None
        if value["low"] is None
        else [[max(value["mean"] - value["low"], 0)], [max(value["high"] - value["mean"], 0)]]
    )


def _common(rows: list[dict[str, Any]]) -> str | None:
    """What the labels leave out: the words that all names begin with."""
    words = os.path.commonprefix([r["name"].split() for r in rows]) if len(rows) > 1 else []
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
