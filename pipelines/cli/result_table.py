"""The result as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unpromptable.reporting import groups, tables
from unpromptable.reporting.row import Line, Row
from unpromptable.scoring import verdict


def table(rows: Sequence[Row], paper: Sequence[dict[str, Any]]) -> Any:
    """One line per group of rows, as in the paper's tables, with the paper's own beneath; a rich table."""
    from rich.markup import escape
    from rich.table import Table

    lines = groups.collect(rows, paper)
    grouped = groups.grouped(lines)
    seen = next(("; ".join(r.labels.values()) for r in rows if r.labels), "none of them measured")
    what = seen if rows[0].networks == "paper" else "ours; not the paper's SSCD, LPIPS or Inception"
    over, interval = tables.spread(lines)
    told = f"mean over {over} ± half the 95 % interval over {interval}; single cells are in the report"
    shown = Table(title=f"Metric networks: {rows[0].networks} ({what})", caption=told if grouped else None)
    of = "cells" if any(line.by_seed for line in lines) else "targets"
    for name in ("Method", *(c.title for c in verdict.COLUMNS), of if grouped else "n"):
        shown.add_column(name, justify="left" if name == "Method" else "right")
    for line in lines:
        if line.ended and not line.done:
            shown.add_row(escape(line.name), *_numbers(line)[:1], "[dim]not sampled[/]")
            continue
        if not line.done:
            shown.add_row(escape(line.name), f"[red]failed[/] {escape(line.error or '')}")
            continue
        count = f"{line.finished}/{len(line.members)}" if grouped else str(line.value("lpips").n)
        shown.add_row(escape(line.name), *_numbers(line), count)
        if line.paper:
            printed = (str(line.paper.get(c.metric, "")) for c in verdict.COLUMNS)
            shown.add_row("  the paper's", *printed, style="dim")
    return shown


def _numbers(line: Line) -> tuple[str, ...]:
    """A finished line's columns, the first with its mark."""
    mark = "[green]✓[/]" if verdict.forgets(line) else "[red]✗[/]"
    first, *rest = (tables.show(line.metrics[c.metric]) for c in verdict.COLUMNS)
    return f"{mark} {first}", *rest
