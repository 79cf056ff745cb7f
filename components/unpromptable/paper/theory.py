"""Section IV-B in numbers: what ridge regression loses by exact unlearning and by a surrogate.

`python -m unpromptable.paper.theory --out FOLDER` checks the theorems on random problems and draws Figure 4.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
from numpy import ndarray

from unpromptable.storage import files

from . import figure4
from .ridge import Problem, closer_labels, exact_shift, leverage, norm_ratio, solve, surrogate_shift


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
    figure4.draw(a.out / "figure4.png")
    (a.out / "theory.json").write_text(json.dumps(rows, indent=1))
    (a.out / "theory.md").write_text(text(rows) + "\n![Figure 4](figure4.png)\n")
    print(text(rows), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
