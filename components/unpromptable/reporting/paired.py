"""What methods kept, pair by pair: differences to one of them at the same target, training seed and image
seeds, where both forgot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unpromptable.scoring.estimates import Estimate
from unpromptable.scoring.verdict import COLUMNS, FRECHET, forgets

from . import equal, groups, spread, tables
from .row import Line, Row

METRICS = ("lpips", "ssim", "fid_pre")
OURS = "Ours"  # the line that others are held against where it forgot anything
WHAT = (
    "Differences at the same target, training seed and image seeds, where both forgot (SSCD < 0.4): mean over"
    " targets ± half the 95 % interval over them, or over the training seeds of a single target. Bold: the"
    " interval leaves out 0."
)
Key = tuple[str, str]  # target and training seed


@dataclass(frozen=True)
class Difference:
    """A line against the reference: how many of its cells forgot, and over the pairs of which both did, what
    it has more of each metric. Without such a pair `note` says why.
    """

    name: str
    forgot: int
    ended: int  # cells that were judged
    pairs: int
    targets: int  # of these pairs
    values: dict[str, Estimate]
    note: str = ""


@dataclass(frozen=True)
class Paired:
    """All lines against one."""

    reference: str
    lines: tuple[Difference, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """Of the columns."""
        shown = {c.metric: c.title for c in COLUMNS}
        return ("forgotten", "pairs", *(shown[m] for m in METRICS))


def of(rows: Sequence[Row], lines: Sequence[Line]) -> Paired | None:
    """Every line against the reference; None where no line has several rows, or nothing forgot.

    The reference is `Ours`, or, where it forgot nothing, the line of which most cells forgot, of equals the
    one with the lowest LPIPS.
    """
    own = {line.name: [r for r in rows if r.name in line.members] for line in lines}
    able = {name: [r for r in of if forgets(r)] for name, of in own.items()}
    if not groups.grouped(lines) or not any(able.values()) or len(lines) < 2:
        return None
    kept = lambda name: -float(np.mean([r.value("lpips").mean for r in able[name]] or [np.inf]))
    chosen = OURS if able.get(OURS) else max(able, key=lambda name: (len(able[name]), kept(name)))
    found = [_of_line(line, own[line.name], able, chosen) for line in lines if line.name != chosen]
    return Paired(chosen, tuple(found))


def _of_line(line: Line, own: list[Row], able: dict[str, list[Row]], chosen: str) -> Difference:
    """One line against the chosen one."""
    mine, theirs = ({_key(r): r for r in able[name]} for name in (line.name, chosen))
    pairs = [(key, mine[key], theirs[key]) for key in mine if key in theirs]
    values = {m: found for m in METRICS if (found := _apart(pairs, m))}
    counts = len(mine), sum(r.ended for r in own), len(pairs), len({target for (target, _), *_ in pairs})
    none = f"forgets no target that {chosen} forgets" if mine else equal.why(line)
    return Difference(line.name, *counts, values, "" if pairs else none)


def _apart(pairs: Sequence[tuple[Key, Row, Row]], metric: str) -> Estimate | None:
    """Mean over targets of the differences' means over seeds; of no pair, or no number, there is none.

    A Fréchet distance of a cell that stopped drawing is of fewer images and is not compared.
    """
    by_target: dict[str, list[float]] = {}
    for (target, _), a, b in pairs:
        cut = metric in FRECHET and (a.stopped or b.stopped)
        if a.metrics.get(metric) and b.metrics.get(metric) and not cut:
            by_target.setdefault(target, []).append(a.value(metric).mean - b.value(metric).mean)
    return spread.over([np.array(v) for v in by_target.values()]) if by_target else None


def _key(row: Row) -> Key:
    return groups.target(row), groups.seed(row)


def cells(one: Difference) -> list[tuple[str, bool]]:
    """The numbers of a line as signed text, and whether the interval leaves out 0."""
    return [(_text(one.values.get(m)), _told(one.values.get(m))) for m in METRICS]


def counts(one: Difference) -> tuple[str, str]:
    """How many cells forgot, and how many pairs there are, in words."""
    several = f" ({one.targets} targets)" if one.targets > 1 else ""
    return f"{one.forgot} of {one.ended}", f"{one.pairs}{several}" if one.pairs else ""


def _text(value: Estimate | None) -> str:
    if value is None:
        return "—"
    text = tables.show(value)
    return text if value.mean < 0 else f"+{text}"


def _told(value: Estimate | None) -> bool:
    if value is None or value.low is None or value.high is None:
        return False
    return value.low > 0 or value.high < 0
