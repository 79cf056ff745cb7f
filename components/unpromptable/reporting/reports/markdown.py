"""report.md: the table and the verdict as text, beside the figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unpromptable import protocols
from unpromptable.planning import cost
from unpromptable.planning.experiment import Experiment
from unpromptable.reporting import equal, figures, groups, paired, pareto, relearning, tables, took
from unpromptable.reporting.row import Line, Row
from unpromptable.scoring import verdict
from unpromptable.storage import files, once

# what Markdown reads as more than a letter
MARKS = re.compile(r"[\\`*\[\]<>|~$]|^[#>+-](?= )|(?<!\w)_|_(?!\w)")


def words(text: object) -> str:
    """A name, title or error as Markdown shows it letter by letter, in one line."""
    return MARKS.sub(r"\\\g<0>", " ".join(str(text).split()))


@dataclass(frozen=True)
class Report(protocols.Report):
    """The table and the verdict as text."""

    def write(self, store: Path, experiment: Experiment, rows: Sequence[Row], state: str) -> Path:
        """Write the file and the figures that it shows."""
        path = store / "report.md"
        files.write_text(path, page(store, experiment, rows, state))
        return path


def page(store: Path, experiment: Experiment, rows: Sequence[Row], state: str) -> str:
    """The text; its figures are written, and linked by relative path."""
    lines = groups.collect(rows, experiment.paper)
    done = figures.finished(rows)
    text = [f"# {words(experiment.title or experiment.name)}", "", words(tables.verdict(lines)), ""]
    text += [*_ended(store, state), table(lines)]
    if groups.grouped(lines):
        text += [
            *_kept(store, rows, lines),
            *_paired(rows, lines),
            "",
            "## Single cells",
            "",
            table(groups.collect(rows_alone(rows))),
        ]
    if done:
        drawn = [
            plot(store / "figures", lines) for plot in (pareto.plot, figures.forgetting_plot, relearning.plot)
        ]
        text += [x for plot in drawn if plot for x in ("", f"![{plot.stem}](figures/{plot.stem}.png)")]
    text += ["", *(f"- {words(f'{r.name}: {r.stopped}')}." for r in rows if r.stopped)]
    text += _took(store, lines)
    doubts = tables.doubts(done)
    text += ["", *(f"- {words(f'{name}, {target}: {note}')}." for name, target, note in doubts)]
    return "\n".join(text).rstrip() + "\n"


def _kept(store: Path, rows: Sequence[Row], lines: Sequence[Line]) -> list[str]:
    """What each line kept where it forgot, if trainings ended by a test."""
    kept = equal.of(store, rows, lines)
    if not kept:
        return []
    titles = equal.titles(kept)
    told = lambda one: [*equal.cells(one, kept), *([words(one.note)] if one.note else [])]
    filled = lambda one: [*told(one), *[""] * (len(titles) - len(told(one)))]
    table = [f"| {words(one.name)} | {' | '.join(filled(one))} |" for one in kept]
    heads = [f"| Setting | {' | '.join(titles)} |", "|---|" + "---:|" * len(titles)]
    return ["", "## At equal forgetting", "", *heads, *table, "", equal.WHAT]


def _paired(rows: Sequence[Row], lines: Sequence[Line]) -> list[str]:
    """What each line kept against one of them, pair by pair."""
    found = paired.of(rows, lines)
    if found is None:
        return []
    empty = " |" * (len(paired.METRICS) - 1)
    numbers = lambda one: " | ".join(f"**{t}**" if sure else t for t, sure in paired.cells(one))
    told = lambda one: f"{words(one.note)} |{empty}" if one.note else f"{numbers(one)} |"
    table = [f"| {words(one.name)} | {' | '.join(paired.counts(one))} | {told(one)}" for one in found.lines]
    heads = f"| against {words(found.reference)} | {' | '.join(found.titles)} |"
    ruled = "|---|" + "---:|" * len(found.titles)
    return ["", "## Pair by pair", "", heads, ruled, *table, "", paired.WHAT]


def _took(store: Path, lines: Sequence[Line]) -> list[str]:
    """What each step took."""
    titles, told = took.table(lines, took.shared(store))
    if not told:
        return []
    rows = [f"| {' | '.join(map(words, line))} |" for line in told]
    what = f"The floor is a step's matrix products and convolutions alone at {cost.RATE:g} TFLOP/s."
    heads = [f"| {' | '.join(titles)} |", "|---|---|" + "---:|" * (len(titles) - 2)]
    return ["", "## What it took", "", *heads, *rows, "", what]


def _ended(store: Path, state: str) -> list[str]:
    """What is to be said of how the run ended; nothing where it succeeded."""
    if state == "SUCCEEDED":
        return []
    if state == "RUNNING":
        return ["**Other runs of this sweep are at work;** what is finished is shown.", ""]
    if state == "TERMINATED":
        return ["**This run was ended before all of its cells were;** run again, it continues.", ""]
    told = once.failure(store)
    reason = words(f"{told['step']}: {told['error']}") if told else "cells without a result say why."
    return [f"**This run did not succeed;** {reason}", ""]


def rows_alone(rows: Sequence[Row]) -> list[Row]:
    """The rows as groups of one, each with the name of its cell."""
    return [replace(r, line=r.name) for r in rows]


def table(lines: Sequence[Line]) -> str:
    """Lines in the paper's form, the paper's own under those of the same name, and what their numbers are."""
    text = [
        "| Method | " + " | ".join(c.title for c in verdict.COLUMNS) + " |",
        "|---|" + "---:|" * len(verdict.COLUMNS),
    ]
    for line in lines:
        beyond = " *(not in the paper)*" if tables.unprinted(line, lines) else ""
        text.append(f"| {words(line.name)}{beyond} | {_numbers(line, lines)} |")
        if line.paper:
            text.append(f"| *the paper's* | {_printed(line.paper)} |")
    done = figures.finished(lines)
    if done:
        labels = "; ".join(done[0].labels.values())
        said = " ".join(x for x in (f"{labels}.", words(tables.origins(lines))) if x)
        text += ["", f"{_what(done)}; bold is best among those that forget. {said}"]
    return "\n".join(text)


def _numbers(line: Line, lines: Sequence[Line]) -> str:
    """A line's columns, or why it has none."""
    if line.done:
        return " | ".join(_cell(c) for c in tables.cells(line, lines))
    if line.ended:
        (sscd,) = tables.cells(line, lines)
        return f"{_cell(sscd)} | {words(line.error)}" + " |" * (len(verdict.COLUMNS) - 2)
    return f"no result: {words(line.error)} |" + " |" * (len(verdict.COLUMNS) - 2)


def _printed(paper: dict[str, Any]) -> str:
    """The paper's own columns."""
    return " | ".join(f"*{paper[c.metric]}*" if c.metric in paper else "" for c in verdict.COLUMNS)


def _what(done: Sequence[Line]) -> str:
    """What the numbers of a table are."""
    if groups.grouped(done):
        over, interval = tables.spread(done)
        return f"Mean over {over} ± half the 95 % interval over {interval}"
    return f"Mean ± half the 95 % interval, n = {tables.images(done)}"


def _cell(c: tables.Cell) -> str:
    return f"{c.mark} {f'**{c.text}**' if c.best else c.text}".strip()
