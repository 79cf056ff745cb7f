"""series.html: every request of a series, what each kept of the model it began with, and what stays
forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from unpromptable.reporting import figures
from unpromptable.reporting.reports import html
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage import files

from . import drift
from .series import Entry, line

NOT_KNOWN = Estimate(nan, nan, nan, 0)  # a gap in a line
PAGE, PLOT = "series.html", "drift"


@dataclass(frozen=True)
class Tested:
    """A release's test of one request's targets: their SSCD in words, and whether they stay forgotten."""

    text: str
    state: str  # yes | no, or soft where there is nothing to test


def write(folder: Path, name: str, entries: Sequence[Entry], champion: str, candidate: str) -> str:
    """Write the page of a series into its folder; returns its verdict, a sentence.

    champion, candidate: their versions, empty where there is none. Raises ValueError where an entry is
    missing.
    """
    shown = line(entries, candidate or champion, folder)
    retrain, told = drift.advice(shown, entries[-1] if entries else None)
    plot = html.embedded(_plot(folder, shown)) if shown else ""
    (folder / f"{PLOT}.png").unlink(missing_ok=True)  # the page holds it
    page = html.template("series").render(
        name=name,
        states=[(e, state(e, entries, champion, candidate, folder)) for e in entries],
        line=shown,
        matrix=[(e, [_tested(e, other, shown) for other in shown]) for e in shown],
        metrics=drift.SHOWN,
        verdict=told,
        retrain=retrain,
        plot=plot,
    )
    files.write_text(folder / PAGE, page)
    return told


def state(entry: Entry, entries: Sequence[Entry], champion: str, candidate: str, folder: Path) -> str:
    """What became of a request, in a word or two."""
    if not entry.version:
        return entry.outcome
    if entry.version in (champion, candidate):
        return "champion" if entry.version == champion else "candidate"
    led = {e.version for e in line(entries, champion, folder)}
    return "in the champion" if entry.version in led else "not in the champion"


def _tested(entry: Entry, other: Entry, shown: Sequence[Entry]) -> Tested | None:
    """What the release of `entry` makes of the targets of `other`; None where these came later."""
    if shown.index(other) > shown.index(entry):
        return None
    values = (entry.sscd,) if other is entry else entry.earlier.get(other.sha256, ())
    text = "  ".join("purged" if v is None else f"{v:.2f}" for v in values) or "gone"
    known = [v for v in values if v is not None]
    state = "soft" if not known else "yes" if max(known) < other.bound else "no"
    return Tested(text, state)


def _plot(folder: Path, shown: Sequence[Entry]) -> Path:
    """LPIPS, SSIM and FID_pre of each release, against the series' first model and against its own base."""
    plt = figures.pyplot()
    figure, axes = plt.subplots(1, len(drift.METRICS), figsize=(10.5, 3.1), dpi=150)
    x = range(1, len(shown) + 1)
    for axis, metric in zip(axes, drift.METRICS):
        far = [e.drift[metric] if e.drift else NOT_KNOWN for e in shown]
        ends = [[e.mean if v is None else v for v in (e.low, e.high)] for e in far]
        axis.fill_between(x, *zip(*ends), color=figures.BLUE, alpha=0.15, lw=0)
        axis.plot(x, [e.mean for e in far], "o-", color=figures.BLUE, ms=4, label="the series' first model")
        own = [e.own[metric].mean for e in shown]
        axis.plot(x, own, "o--", color=figures.INK, mfc="none", ms=4, lw=1, label="its own base")
        bounds = [drift.bound(e, metric) for e in shown]
        if None not in bounds:
            axis.step(x, bounds, where="mid", color=figures.RED, ls=":", lw=1.2, label="gate")
        axis.set(xlabel="release", title=drift.SHOWN[metric], xticks=list(x))
        axis.grid(axis="y", color=figures.GRID, lw=0.5)
        figures.open_corner(axis)
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figures.write(folder, figure, PLOT)
