"""report.md: the table and the verdict as text, beside the figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpromptable import protocols
from unpromptable.reporting import figures, groups, pareto, tables
from unpromptable.scoring import verdict
from unpromptable.storage import once
from unpromptable.storage import store as storing

# what Markdown reads as more than a letter
MARKS = re.compile(r"[\\`*\[\]<>|~$]|^[#>+-](?= )|(?<!\w)_|_(?!\w)")


def words(text: str) -> str:
    """A name, title or error as Markdown shows it letter by letter, in one line."""
    return MARKS.sub(r"\\\g<0>", " ".join(str(text).split()))


@dataclass(frozen=True)
class Report(protocols.Report):
    """The table and the verdict as text."""

    def write(self, store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str) -> Path:
        """Write the file and the figures that it shows."""
        path = store / "report.md"
        storing.write_text(path, page(store, experiment, rows, state))
        return path


def page(store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str) -> str:
    """The text; its figures are written, and linked by relative path."""
    lines = groups.collect(rows, experiment.get("paper") or [])
    text = [f"# {words(experiment['title'] or experiment['name'])}", "", words(tables.verdict(lines)), ""]
    if state == "RUNNING":
        text += ["**Other runs of this sweep are at work;** what is finished is shown.", ""]
    elif state == "TERMINATED":
        text += ["**This run was ended before all of its cells were;** run again, it continues.", ""]
    elif state != "SUCCEEDED":
        told = once.failure(store)
        reason = words(f"{told['step']}: {told['error']}") if told else "cells without a result say why."
        text += [f"**This run did not succeed;** {reason}", ""]
    text += [table(lines)]
    if groups.grouped(lines):
        text += ["", "## Single cells", "", table(groups.collect(rows_alone(rows)))]
    if figures.finished(rows):
        plots = [plot(store / "figures", lines).stem for plot in (pareto.plot, figures.forgetting_plot)]
        text += [x for stem in plots for x in ("", f"![{stem}](figures/{stem}.png)")]
    text += [
        "",
        *(
            f"- {words(f'{name}, {target}: {note}')}."
            for name, target, note in tables.doubts(figures.finished(rows))
        ),
    ]
    return "\n".join(text).rstrip() + "\n"


def rows_alone(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as groups of one, each with the name of its cell."""
    return [{**r, "group": r["name"]} for r in rows]


def table(lines: list[dict[str, Any]]) -> str:
    """Lines in the paper's form, the paper's own under those of the same name, and what their numbers are."""
    text = [
        "| Method | " + " | ".join(title for _, title, _ in verdict.COLUMNS) + " |",
        "|---|" + "---:|" * len(verdict.COLUMNS),
    ]
    for line in lines:
        text.append(
            f"| {words(line['name'])} | "
            + (
                " | ".join(_cell(c) for c in tables.cells(line, lines))
                if line["status"] == "done"
                else f"no result: {words(line['error'])} |" + " |" * (len(verdict.COLUMNS) - 2)
            )
            + " |"
        )
        if line.get("paper"):
            text.append(
                "| *the paper's* | "
                + " | ".join(
                    f"*{line['paper'][key]}*" if key in line["paper"] else "" for key, _, _ in verdict.COLUMNS
                )
                + " |"
            )
    done = figures.finished(lines)
    if done:
        number = max(len(line.get("members", ())) for line in done)
        what = (
            f"Mean over {number} targets ± half the 95 % interval over them"
            if number > 1
            else f"Mean ± half the 95 % interval, n = {done[0]['lpips']['n']}"
        )
        text += [
            "",
            f"{what}; bold is best among those that forget. " + "; ".join(done[0]["labels"].values()) + ".",
        ]
    return "\n".join(text)


def _cell(c: dict[str, Any]) -> str:
    text = f"**{c['text']}**" if c["best"] else c["text"]
    return f"{c['mark']} {text}".strip()
