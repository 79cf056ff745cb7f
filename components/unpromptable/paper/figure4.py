"""Figure 4 redrawn: how far a ridge regression moves by exact unlearning and by a surrogate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unpromptable.reporting import figures
from unpromptable.reporting.figures import BLUE, GRID, INK, RED

from . import ridge

GREEN = "#15803d"
LINES = (("original", INK, "-"), ("exact unlearning", RED, "--"), ("surrogate", BLUE, "-"))


def example() -> ridge.Problem:
    """Figure 4's problem: points about a line, one of them off it; its surrogate keeps x and moves y half way
    to the line.
    """
    rng = np.random.default_rng(4)
    x = np.linspace(0.3, 3.0, 9)
    X, y = np.stack([np.ones_like(x), x], 1), 0.6 + 0.5 * x + rng.normal(0, 0.12, len(x))
    i = len(x) - 1
    y[i] += 1.6
    towards = X[i] @ ridge.solve(X, y, 0.1)
    return ridge.Problem(X, y, 0.1, i, X[i], float((y[i] + towards) / 2))


def draw(path: Path) -> Path:
    """The three lines of Figure 4, and beside them how far theta moves for every label the surrogate could
    have.
    """
    p = example()
    figure, (left, right) = figures.pyplot().subplots(1, 2, figsize=(10, 3.9), dpi=150)
    _draw_lines(left, p)
    _draw_condition(right, p)
    for axis in (left, right):
        axis.grid(color=GRID, lw=0.5)
        axis.legend(frameon=False, fontsize=8)
        figures.open_corner(axis)
    figure.tight_layout()
    return figures.write(path.parent, figure, path.stem)


def _draw_lines(axis: Any, p: ridge.Problem) -> None:
    before = ridge.solve(p.X, p.y, p.ridge)
    thetas = (before, before + ridge.exact_shift(*p[:4]), before + ridge.surrogate_shift(*p))
    x = np.array([0.0, 3.4])
    for (name, colour, style), theta in zip(LINES, thetas):
        moved = f": moved by {np.linalg.norm(theta - before):.2f}" if name != "original" else ""
        axis.plot(x, theta[0] + theta[1] * x, style, color=colour, lw=1.8, label=f"{name}{moved}")
    others = np.arange(len(p.y)) != p.i
    axis.plot(p.X[others, 1], p.y[others], "o", color=INK, ms=5)
    axis.plot(p.X[p.i, 1], p.y[p.i], "X", color=RED, ms=10, label="the point to forget")
    axis.plot(p.x_new[1], p.y_new, "D", color=BLUE, ms=7, label="its surrogate")
    axis.set(xlabel="x", ylabel="y", title="Ridge regression in one dimension")


def _draw_condition(axis: Any, p: ridge.Problem) -> None:
    low, high = ridge.closer_labels(*p[:4])
    labels = np.linspace(low - 0.6, high + 0.6, 241)
    moved = [np.linalg.norm(ridge.surrogate_shift(p.X, p.y, p.ridge, p.i, p.x_new, y)) for y in labels]
    axis.axvspan(low, high, color=GREEN, alpha=0.1, lw=0, label="here the surrogate is closer")
    axis.plot(labels, moved, color=BLUE, lw=1.8, label="surrogate")
    exact = np.linalg.norm(ridge.exact_shift(*p[:4]))
    axis.axhline(exact, color=RED, ls="--", lw=1.8, label="exact unlearning")
    axis.plot(p.y_new, np.linalg.norm(ridge.surrogate_shift(*p)), "D", color=BLUE, ms=7)
    axis.axvline(p.y[p.i], color=INK, lw=0.8, ls=":", label="the label to forget")
    axis.set(
        xlabel="label of the surrogate, y'",
        ylabel="distance to the original parameters",
        title="Closer where |y' − y| (1 − h) < |xᵀθ* − y|",
        ylim=(0, None),
    )
