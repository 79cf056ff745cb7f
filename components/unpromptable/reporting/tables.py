"""Rows in the paper's form, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unpromptable.scoring.estimates import Estimate
from unpromptable.scoring.verdict import COLUMNS, FRECHET, THRESHOLD, best, forgets

from .row import Line, Row


@dataclass(frozen=True)
class Cell:
    """A number of a table: its text, whether it is the best of those that forget, and its mark."""

    text: str
    best: bool
    mark: str  # ✓ or ✗ in the first column: whether the row forgets


def show(value: Estimate | None) -> str:
    """An estimate as mean ± half of its interval; a single number has none."""
    if value is None:
        return "—"
    digits = 3 if abs(value.mean) < 10 else 2
    if value.low is None or value.high is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} ± {(value.high - value.low) / 2:.{digits}f}"


def cells(row: Row, rows: Sequence[Row]) -> list[Cell]:
    """One row's columns, judged among `rows`; of one that was not sampled, SSCD alone."""
    return [
        Cell(
            _text(row, c.metric),
            best(rows, c.metric) == row.name,
            ("✓" if forgets(row) else "✗") if c.metric == "sscd" else "",
        )
        for c in (COLUMNS if row.done else COLUMNS[:1])
    ]


def images(done: Sequence[Row]) -> int:
    """Of how many images the columns are, where no row says otherwise: those of a cell that drew them all."""
    return next((r for r in done if not r.stopped), done[0]).value("lpips").n


def _text(row: Row, metric: str) -> str:
    """A number, with its images where they are fewer than others'."""
    value = row.metrics.get(metric)
    few = value is not None and row.stopped and metric in FRECHET
    return f"{show(value)} (n = {value.n})" if few and value else show(value)


def verdict(lines: Sequence[Line]) -> str:
    """The result in a few sentences."""
    ended, able = [r for r in lines if r.ended], [r for r in lines if forgets(r)]
    several = any(len(r.members) > 1 for r in lines)
    target, it = ("the targets", "them") if several else ("the target", "it")
    if not ended:
        return "No cell finished, so there is nothing to compare."
    sure = [r.name for r in able if _whole(r)]
    once = [r.name for r in able if r.value("sscd").high is None]
    close = [r.name for r in able if not _whole(r) and r.name not in once]
    kept = [r.name for r in ended if not forgets(r)]
    words = [f"No method forgot {target} beyond doubt."]
    if sure:
        words = [f"{_list(sure)} forgot {target}: the similarity's whole interval lies below 0.4."]
    if close:
        words += [f"{_list(close)} fell below 0.4 on average, with an interval that reaches above it."]
    if once:
        words += [
            f"{_list(once)} fell below 0.4 in the one measurement there is, so how sure that is nothing says."
        ]
    if kept:
        words += [f"{_list(kept)} did not forget {it}."]
    if len(able) > 1:
        words += [_winners(able)]
    ceiling = ended[0].metrics.get("sscd_ceiling")
    if ceiling:
        words += [f"Before unlearning {target} came back with similarity {ceiling.mean:.2f}."]
    return " ".join(words)


def _winners(able: Sequence[Row]) -> str:
    """Which of the rows that forgot is the best by which columns, in a sentence."""
    wins: dict[str, list[str]] = {}
    for column in COLUMNS:
        if column.sign:
            wins.setdefault(best(able, column.metric) or "", []).append(column.title.split()[0])
    each = "; ".join(f"{name} keeps the model best by {_list(keys)}" for name, keys in wins.items())
    return f"Of those that forgot, {each}."


def _whole(row: Row) -> bool:
    """Whether a row's whole interval lies below the threshold."""
    high = row.value("sscd").high
    return high is not None and high < THRESHOLD


def origins(lines: Sequence[Line]) -> str:
    """Where the settings of each line's method come from, in a sentence; empty where nobody says."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.origin:
            found.setdefault(line.origin, []).append(line.name)
    each = "; ".join(f"{origin}: {', '.join(names)}" for origin, names in found.items())
    return f"Settings {each}." if each else ""


def unprinted(line: Line, lines: Sequence[Line]) -> bool:
    """Whether a line is none of the paper's, in a table of which the paper has some."""
    return line.paper is None and any(one.paper for one in lines)


def spread(lines: Sequence[Line]) -> tuple[str, str]:
    """Over what the lines of several rows are means, and over what their intervals are, in words."""
    targets = max((len(line.each) for line in lines), default=0)
    seeds = max((len(of) for line in lines for of in line.by_seed.values()), default=1)
    if targets == 1:
        return f"{seeds} training seeds", "the training seeds of one target"
    each = f" of {seeds} training seeds each" if seeds > 1 else ""
    return f"{targets} targets{each}", "the targets" if seeds > 1 else "them"


def doubts(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(row, target, note) of every surrogate that a method read and that is a near copy, unrelated, or a
    random image by intention.
    """
    from unpromptable.planning import plugins

    reads = lambda r: plugins.find("method", r.method).reads_surrogate
    return [(r.name, s.target, s.note) for r in rows for s in r.surrogates if s.note and reads(r)]


def differing(rows: Sequence[Row]) -> list[str]:
    """The settings that are not the same in every cell."""
    keys = sorted({k for r in rows for k in r.settings})
    return [k for k in keys if len({str(r.settings.get(k)) for r in rows}) > 1]


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
