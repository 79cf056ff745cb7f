"""What lines keep at equal forgetting: their cells that forgot, where a test ends the trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpromptable.scoring.estimates import Estimate
from unpromptable.scoring.verdict import COLUMNS, forgets

from . import figures, groups, spread, tables
from .row import Line, Row

METRICS = ("sscd", "lpips", "ssim", "fid_pre", "lookalikes")
WHAT = (
    "Every training ended once a coarse test found its target forgotten. Over the cells that forgot, SSCD"
    " below 0.4: mean over targets ± half the 95 % interval over them, or over the training seeds of a single"
    " target. Updates: mean, least and most."
)


@dataclass(frozen=True)
class Kept:
    """A line's cells that forgot: how many of those that were judged, the updates of each, and their means.
    Where there is none, `note` says why.
    """

    name: str
    forgot: int
    ended: int
    updates: tuple[int, ...]
    values: dict[str, Estimate]
    note: str = ""


def of(store: Path, rows: Sequence[Row], lines: Sequence[Line]) -> list[Kept]:
    """All lines; none where no line has several rows, or no training ended by a test."""
    if not groups.grouped(lines) or not any(r.settings.get("training.until") for r in rows):
        return []
    return [_of_line(store, line, [r for r in rows if r.name in line.members]) for line in lines]


def titles(kept: Sequence[Kept]) -> list[str]:
    """Of the columns."""
    shown = {c.metric: c.title for c in COLUMNS} | {"lookalikes": "lookalikes ↑"}
    return ["forgotten", "updates", *(shown[m] for m in _known(kept))]


def cells(one: Kept, kept: Sequence[Kept]) -> list[str]:
    """A line's columns; of one that never forgot, how many, and the rest is its note's."""
    counted = f"{one.forgot} of {one.ended}"
    if one.note:
        return [counted]
    return [counted, _updates(one.updates), *(tables.show(one.values.get(m)) for m in _known(kept))]


def why(line: Line) -> str:
    """Why no cell of a line forgot."""
    if not line.ended or line.metrics.get("sscd") is None:
        return "no result"
    return f"never gets there: SSCD {tables.show(line.value('sscd'))}"


def _of_line(store: Path, line: Line, own: list[Row]) -> Kept:
    able = groups.by_target([r for r in own if forgets(r)])
    flat = [r for of in able.values() for r in of]
    # of a row without a history, as of a model that was unlearned elsewhere, they are not known
    updates = tuple(len(found) for r in flat if (found := figures.history(store, r)))
    values = {
        m: spread.over([np.array([r.value(m).mean for r in of]) for of in able.values()])
        for m in METRICS
        if flat and all(r.metrics.get(m) for r in flat)
    }
    return Kept(line.name, len(flat), sum(r.ended for r in own), updates, values, "" if flat else why(line))


def _known(kept: Sequence[Kept]) -> list[str]:
    return [m for m in METRICS if any(m in one.values for one in kept)]


def _updates(counts: tuple[int, ...]) -> str:
    if not counts:
        return "—"
    least, most = min(counts), max(counts)
    return f"{np.mean(counts):.0f}" + (f" ({least} to {most})" if least < most else "")
