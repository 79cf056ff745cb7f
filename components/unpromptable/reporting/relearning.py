"""How fast a forgotten target comes back: the curves of the metric relearn, where it was asked for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from unpromptable.scoring import verdict

from . import figures
from .row import Row

POINT = re.compile(r"relearn_sscd_at_(\d+)")  # a look after so many updates


def points(row: Row) -> list[tuple[int, float]]:
    """Updates and SSCD of a row's curve, in order; empty where it has none."""
    found = ((POINT.fullmatch(key), mean) for key, mean in row.means().items())
    return sorted((int(m[1]), mean) for m, mean in found if m)


def plot(folder: Path, rows: Sequence[Row]) -> Path | None:
    """SSCD over the updates of relearning, a curve for each line, and the 0.4 line; None without curves."""
    drawn = [(row.name, points(row)) for row in figures.finished(rows) if points(row)]
    if not drawn:
        return None
    plt = figures.pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 3.2), dpi=150)
    for name, curve in drawn:
        axis.plot(*zip(*curve), "o-", lw=1.3, ms=3, label=figures.words(name))
    axis.axhline(verdict.THRESHOLD, color=figures.RED, ls="--", lw=1)
    axis.set(xlabel="updates of relearning", ylabel="SSCD", ylim=(-0.3, 1.05))
    axis.grid(color=figures.GRID, lw=0.5)
    figures.open_corner(axis)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figures.write(folder, figure, "relearning")
