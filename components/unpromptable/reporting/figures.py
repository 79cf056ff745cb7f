"""Pictures of a run: grids of seeds, the injected target, intervals, curves; PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable.storage import records

from .row import AnyRow, Line, Row

CURVES = (  # of a history, with their titles
    ("remember", "remember loss"),
    ("forget", "forget loss"),
    ("cosine", "cosine of the two gradients"),
    ("conflict", "share of conflicting updates"),
)
PLOTS = (
    "curves",
    "forgetting",
    "relearning",
    "tradeoff",
)  # the files of `figures` that hold numbers and no pictures
INK, GRID, BLUE, RED = "#444", "#ddd", "#2563eb", "#dc2626"


def finished(rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The rows that hold numbers."""
    return [r for r in rows if r.done]


def history(store: Path, row: Row) -> list[dict[str, Any]]:
    """The training history of a cell; empty where it has none."""
    path = store / row.folder / "history.jsonl"
    return records.lines(path) if path.is_file() else []


def forgetting_plot(folder: Path, rows: Sequence[Row]) -> Path:
    """SSCD of every line with its interval and the 0.4 line, the ceiling as a hollow mark."""
    plt = pyplot()
    done = [r for r in rows if r.ended]
    figure, axis = plt.subplots(figsize=(6.4, 0.9 + 0.42 * len(done)), dpi=150)
    for y, row in enumerate(reversed(done)):
        value = row.value("sscd")
        if value.low is not None:
            axis.plot([value.low, value.high], [y, y], color=BLUE, lw=3, solid_capstyle="round")
        axis.plot(value.mean, y, "o", color=BLUE, ms=7)
        axis.plot(row.value("sscd_ceiling").mean, y, "o", mfc="none", mec=INK, ms=7)
    axis.axvline(0.4, color=RED, ls="--", lw=1)
    axis.text(0.41, len(done) - 0.45, "forgotten below 0.4", color=RED, fontsize=8)
    axis.set(
        yticks=range(len(done)),
        xlim=(-0.3, 1.05),
        ylim=(-0.6, len(done) - 0.1),
        xlabel="denoised target, before against after (hollow: target against before)",
    )
    axis.set_yticklabels([words(r.name) for r in reversed(done)])
    axis.grid(axis="x", color=GRID, lw=0.5)
    open_corner(axis)
    figure.tight_layout()
    return write(folder, figure, "forgetting")


def curves_plot(store: Path, rows: Sequence[Row], lines: Sequence[Line], folder: Path) -> Path | None:
    """Losses, cosine and share of conflicts over the updates, mean of each line's cells, smoothed over 20;
    None where no history has any of them.
    """
    plt = pyplot()
    kept = {line.name: _histories(store, rows, line) for line in lines}
    told = {key for histories in kept.values() for one in histories for h in one for key in h}
    if not told & {key for key, _ in CURVES}:
        return None
    colours = plt.cm.tab10.colors if len(kept) <= 10 else plt.cm.viridis(np.linspace(0, 0.95, len(kept)))
    figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), dpi=150)
    handles: dict[str, Any] = {}
    for (key, title), axis in zip(CURVES, axes.flat):
        for (name, histories), colour in zip(kept.items(), colours):
            points = _smooth(histories, key)
            if points is not None:
                handles[words(name)] = axis.plot(*points, lw=1.3, color=colour)[0]
        axis.set_title(title, fontsize=9)
        axis.grid(color=GRID, lw=0.5)
        axis.tick_params(labelsize=8)
        open_corner(axis)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="lower center",
        ncol=min(len(handles), 7),
        frameon=False,
        fontsize=8,
    )
    figure.tight_layout(rect=(0, 0.05 * -(-len(handles) // 7), 1, 1))
    return write(folder, figure, "curves")


def _histories(store: Path, rows: Sequence[Row], line: Line) -> list[list[dict[str, Any]]]:
    """The training histories of a line's cells, those without one left out."""
    found = [history(store, r) for r in rows if r.name in line.members]
    return [h for h in found if h]


def _smooth(histories: list[list[dict[str, Any]]], key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Updates and the mean over histories of a number there, (N,) each, as the mean of the last 20; None
    without such a number.
    """
    runs = [[(h["step"], h[key]) for h in one if key in h] for one in histories]
    length = min((len(r) for r in runs), default=0)
    if not length:
        return None
    x, y = np.mean([r[:length] for r in runs], 0).T
    width = min(20, length)
    return x[width - 1 :], np.convolve(y, np.ones(width) / width, "valid")


def pyplot() -> Any:
    """matplotlib's pyplot, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def words(name: str) -> str:
    """A name as matplotlib draws it letter by letter: what stands between two dollars is no formula."""
    return name.replace("$", r"\$")


def open_corner(axis: Any) -> None:
    """No lines above and to the right."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def write(folder: Path, figure: Any, name: str) -> Path:
    """Save a matplotlib figure as `folder`/`name`.png and close it."""
    import matplotlib.pyplot as plt

    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    plt.close(figure)
    return path
