"""Section IV-B in numbers: what ridge regression loses by exact unlearning and by a surrogate; Figure 4
redrawn.

X: (n, d) rows x_i, y: (n,), ridge: the lambda of Eq. 14, at least 0. float64 throughout. `python -m
unpromptable.paper.theory --out FOLDER` checks the theorems on random problems and draws the figure.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from unpromptable.reporting import figures
from unpromptable.reporting.figures import BLUE, GRID, INK, RED
from unpromptable.storage import files

GREEN = "#15803d"
LINES = (("original", INK, "-"), ("exact unlearning", RED, "--"), ("surrogate", BLUE, "-"))


class Problem(NamedTuple):
    """One ridge problem, its row i, and the surrogate (x_new, y_new) of that row."""

    X: ndarray
    y: ndarray
    ridge: float
    i: int
    x_new: ndarray
    y_new: float


def gram(X: ndarray, ridge: float) -> ndarray:
    """A = X^T X + lambda I (Eq. 15), (d, d)."""
    return X.T @ X + ridge * np.eye(X.shape[1])


def solve(X: ndarray, y: ndarray, ridge: float) -> ndarray:
    """theta* of Eq. 14 as least squares on X stacked on sqrt(lambda) I, (d,).

    It never forms A, so that it is an independent check of what follows from Eq. 16.
    """
    d = X.shape[1]
    return np.linalg.lstsq(
        np.vstack([X, np.sqrt(ridge) * np.eye(d)]), np.concatenate([y, np.zeros(d)]), rcond=None
    )[0]


def leverage(X: ndarray, ridge: float, i: int) -> float:
    """h = x_i^T A^-1 x_i, in [0, 1): how much the fit at x_i hangs on its own label."""
    return float(X[i] @ np.linalg.solve(gram(X, ridge), X[i]))


def _residual(X: ndarray, y: ndarray, ridge: float, i: int) -> float:
    """x_i^T theta* - y_i, theta* by Eq. 16."""
    return X[i] @ np.linalg.solve(gram(X, ridge), X.T @ y) - y[i]


def exact_shift(X: ndarray, y: ndarray, ridge: float, i: int) -> ndarray:
    """theta~ - theta* when row i is removed (Theorem 1, Eq. 18), (d,)."""
    direction = np.linalg.solve(gram(X, ridge), X[i])
    return _residual(X, y, ridge, i) / (1 - X[i] @ direction) * direction


def surrogate_shift(
    X: ndarray, y: ndarray, ridge: float, i: int, x_new: ndarray, y_new: float, printed: bool = False
) -> ndarray:
    """theta+ - theta* when row i becomes (x_new, y_new) (Theorem 2), (d,).

    printed: Eq. 31 as it stands in the paper, with (x_i - x_new)*y_new. The proof's own Eq. 41 has the other
    sign, and only that one is right.
    """
    A, r = gram(X, ridge), x_new - X[i]
    M = np.outer(X[i], r) + np.outer(r, X[i]) + np.outer(r, r)
    moved = X.T @ y + X[i] * (y_new - y[i]) + (-r if printed else r) * y_new
    return np.linalg.solve(A + M, moved) - np.linalg.solve(A, X.T @ y)


def norm_ratio(X: ndarray, y: ndarray, ridge: float, i: int, y_new: float) -> float:
    """How much further exact unlearning moves theta than a surrogate with x_new = x_i (Corollary 3, Eq. 47).

    Raises ValueError where y_new is y_i: that surrogate moves nothing.
    """
    if y_new == y[i]:
        raise ValueError(
            f"norm_ratio: y_new is y_i ({y_new}), so the surrogate moves nothing and the ratio is infinite"
        )
    return float(abs(_residual(X, y, ridge, i)) / (abs(y_new - y[i]) * abs(1 - leverage(X, ridge, i))))


def closer_labels(X: ndarray, y: ndarray, ridge: float, i: int) -> tuple[float, float]:
    """The open interval of y_new in which a surrogate with x_new = x_i moves theta less than removing row i
    does.

    Eq. 47 says "can": its ratio is above 1 exactly where |y_new - y_i| * (1 - h) < |x_i^T theta* - y_i|. One
    end of the interval is the leave-one-out prediction, at which both solutions are the same; y_i is its
    middle.
    """
    reach = float(abs(_residual(X, y, ridge, i)) / (1 - leverage(X, ridge, i)))
    return float(y[i]) - reach, float(y[i]) + reach


def random_problem(rng: np.random.Generator) -> Problem:
    """A problem of 1..8 features, up to 40 rows, lambda in 1e-3..10, and an unrelated surrogate of one
    row.
    """
    d = int(rng.integers(1, 9))
    n = int(rng.integers(d + 1, 41))
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    i = int(rng.integers(n))
    return Problem(
        X, y, float(10 ** rng.uniform(-3, 1)), i, X[i] + rng.normal(size=d), float(y[i] + rng.normal())
    )


def check(problems: int = 2000, seed: int = 0) -> list[dict[str, Any]]:
    """A row per statement: its deviation from solutions computed directly, relative to them, over random
    problems.

    deviation: mean is the median, low and high the smallest and largest. closer: the share of problems in
    which the surrogate of Corollary 3 moves theta less, with its 95 % interval.
    """
    found = [_deviations(random_problem(np.random.default_rng((seed, k)))) for k in range(problems)]
    names = [k for k in found[0] if k != "closer"]
    rows = [
        {"name": n, "status": "done", "deviation": _spread(np.array([f[n] for f in found]))} for n in names
    ]
    share = np.mean([f["closer"] for f in found])
    half = 1.96 * np.sqrt(share * (1 - share) / problems)
    rows[names.index("Corollary 3")]["closer"] = {
        "mean": float(share),
        "low": float(share - half),
        "high": float(share + half),
        "n": problems,
    }
    return rows


def _deviations(p: Problem) -> dict[str, float]:
    X, y, ridge, i, x_new, y_new = p
    before, without = solve(X, y, ridge), solve(np.delete(X, i, 0), np.delete(y, i), ridge)
    replaced, relabelled = solve(*_replace(p), ridge), solve(X, _replace(p)[1], ridge)
    prediction = float(X[i] @ before)
    kept = solve(X, np.where(np.arange(len(y)) == i, prediction, y), ridge)
    ratio = np.linalg.norm(without - before) / np.linalg.norm(relabelled - before)
    low, high = closer_labels(X, y, ridge, i)
    return {
        "Theorem 1": _relative(exact_shift(X, y, ridge, i), without - before),
        "Theorem 2": _relative(surrogate_shift(*p), replaced - before),
        "Theorem 2 as printed": _relative(surrogate_shift(*p, printed=True), replaced - before),
        "Corollary 3": float(abs(norm_ratio(X, y, ridge, i, y_new) / ratio - 1)),
        "Corollary 3, condition": float((low < y_new < high) != (ratio > 1)),
        "Corollary 3, y' the model's own prediction": float(
            abs(
                (1 - leverage(X, ridge, i)) * np.linalg.norm(without - before) / np.linalg.norm(kept - before)
                - 1
            )
        ),
        "closer": float(ratio > 1),
    }


def _replace(p: Problem) -> tuple[ndarray, ndarray]:
    here = np.arange(len(p.y)) == p.i
    return np.where(here[:, None], p.x_new, p.X), np.where(here, p.y_new, p.y)


def _relative(found: ndarray, direct: ndarray) -> float:
    return float(np.linalg.norm(found - direct) / np.linalg.norm(direct))


def _spread(values: ndarray) -> dict[str, float]:
    return {
        "mean": float(np.median(values)),
        "low": float(values.min()),
        "high": float(values.max()),
        "n": len(values),
    }


def example() -> Problem:
    """Figure 4's problem: points about a line, one of them off it; its surrogate keeps x and moves y half way
    to the line.
    """
    rng = np.random.default_rng(4)
    x = np.linspace(0.3, 3.0, 9)
    X, y = np.stack([np.ones_like(x), x], 1), 0.6 + 0.5 * x + rng.normal(0, 0.12, len(x))
    i = len(x) - 1
    y[i] += 1.6
    towards = X[i] @ solve(X, y, 0.1)
    return Problem(X, y, 0.1, i, X[i], float((y[i] + towards) / 2))


def figure4(path: Path) -> Path:
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


def _draw_lines(axis: Any, p: Problem) -> None:
    before = solve(p.X, p.y, p.ridge)
    thetas = (before, before + exact_shift(*p[:4]), before + surrogate_shift(*p))
    x = np.array([0.0, 3.4])
    for (name, colour, style), theta in zip(LINES, thetas):
        axis.plot(
            x,
            theta[0] + theta[1] * x,
            style,
            color=colour,
            lw=1.8,
            label=(
                f"{name}: moved by {np.linalg.norm(theta - before):.2f}" if name != "original" else "original"
            ),
        )
    others = np.arange(len(p.y)) != p.i
    axis.plot(p.X[others, 1], p.y[others], "o", color=INK, ms=5)
    axis.plot(p.X[p.i, 1], p.y[p.i], "X", color=RED, ms=10, label="the point to forget")
    axis.plot(p.x_new[1], p.y_new, "D", color=BLUE, ms=7, label="its surrogate")
    axis.set(xlabel="x", ylabel="y", title="Ridge regression in one dimension")


def _draw_condition(axis: Any, p: Problem) -> None:
    low, high = closer_labels(*p[:4])
    labels = np.linspace(low - 0.6, high + 0.6, 241)
    moved = [np.linalg.norm(surrogate_shift(p.X, p.y, p.ridge, p.i, p.x_new, y)) for y in labels]
    axis.axvspan(low, high, color=GREEN, alpha=0.1, lw=0, label="here the surrogate is closer")
    axis.plot(labels, moved, color=BLUE, lw=1.8, label="surrogate")
    axis.axhline(np.linalg.norm(exact_shift(*p[:4])), color=RED, ls="--", lw=1.8, label="exact unlearning")
    axis.plot(p.y_new, np.linalg.norm(surrogate_shift(*p)), "D", color=BLUE, ms=7)
    axis.axvline(p.y[p.i], color=INK, lw=0.8, ls=":", label="the label to forget")
    axis.set(
        xlabel="label of the surrogate, y'",
        ylabel="distance to the original parameters",
        title="Closer where |y' − y| (1 − h) < |xᵀθ* − y|",
        ylim=(0, None),
    )


def text(rows: list[dict[str, Any]]) -> str:
    """The checks as a Markdown table."""
    lines = [
        "| Statement | median | smallest | largest relative deviation | problems |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        d = row["deviation"]
        lines.append(f"| {row['name']} | {d['mean']:.1e} | {d['low']:.1e} | {d['high']:.1e} | {d['n']} |")
    closer = next(r["closer"] for r in rows if "closer" in r)
    note = (
        f"With a random label the surrogate moves theta less in {closer['mean']:.0%} of {closer['n']}"
        " problems: it can, it need not. It does exactly where |y' - y|(1 - h) < |x^T theta* - y|; with the"
        " model's own prediction as label it always does, by the factor 1 - h."
    )
    return "\n".join([*lines, "", note, ""])


def main(words: list[str] | None = None) -> int:
    """Write theory.json, theory.md and figure4.png, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m unpromptable.paper.theory",
        description="Theorems 1 and 2 and Corollary 3 on random problems, and Figure 4.",
    )
    parser.add_argument(
        "--out", required=True, type=files.named, help="folder for theory.json, theory.md and figure4.png"
    )
    parser.add_argument("--problems", type=int, default=2000)
    a = parser.parse_args(words)
    rows = check(a.problems)
    figure4(a.out / "figure4.png")
    (a.out / "theory.json").write_text(json.dumps(rows, indent=1))
    (a.out / "theory.md").write_text(text(rows) + "\n![Figure 4](figure4.png)\n")
    print(text(rows), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
