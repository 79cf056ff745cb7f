"""report.md: the table and the verdict as text, beside the figures."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import figures, store as storing, tables


def write(store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str) -> Path:
    """Write the file; figures are linked by relative path."""
    lines = [f"# {experiment['title'] or experiment['name']}", "", tables.verdict(rows), ""]
    if state != "SUCCEEDED":
        lines += ["**This run did not succeed;** cells without a result say why.", ""]
    lines += [table(rows)]
    done = figures.finished(rows)
    if done:
        plots = [plot(store / "figures", rows).stem for plot in (figures.forgetting_plot, figures.tradeoff_plot)]
        lines += [x for stem in plots for x in ("", f"![{stem}](figures/{stem}.png)")]
    path = store / "report.md"
    storing.write_text(path, "\n".join(lines) + "\n")
    return path


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in the paper's form, and what their numbers are."""
    lines = ["| Method | " + " | ".join(title for _, title, _ in tables.COLUMNS) + " |", "|---|" + "---:|" * len(tables.COLUMNS)]
    for row in rows:
        lines.append(f"| {row['name']} | " + (" | ".join(_cell(c) for c in tables.cells(row, rows)) if row["status"] == "done" else f"failed at {row['error']} |" + " |" * (len(tables.COLUMNS) - 2)) + " |")
    done = figures.finished(rows)
    if done:
        lines += ["", f"Mean ± half the 95 % interval, n = {done[0]['lpips']['n']}; bold is best among the methods that forget. " + "; ".join(done[0]["labels"].values()) + "."]
    return "\n".join(lines)


def _cell(c: dict[str, Any]) -> str:
    text = f"**{c['text']}**" if c["best"] else c["text"]
    return f"{c['mark']} {text}".strip()
