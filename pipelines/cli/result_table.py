"""The result as a table in the terminal."""

from __future__ import annotations

from typing import Any

from unpromptable.reporting import groups, tables
from unpromptable.scoring import verdict


def table(rows: list[dict[str, Any]], paper: list[dict[str, Any]]) -> Any:
    """One line per group of rows, as in the paper's tables, with the paper's own beneath; a rich table."""
    from rich.markup import escape
    from rich.table import Table

    lines = groups.collect(rows, paper)
    ours = " (ours; not the paper's SSCD, LPIPS or Inception)" if rows[0]["networks"] != "paper" else ""
    shown = Table(
        title=f"Metric networks: {rows[0]['networks']}{ours}",
        caption=(
            "mean over targets ± half the 95 % interval over them; single cells are in the report"
            if groups.grouped(lines)
            else None
        ),
    )
    for name in (
        "Method",
        *(title for _, title, _ in verdict.COLUMNS),
        "targets" if groups.grouped(lines) else "n",
    ):
        shown.add_column(name, justify="left" if name == "Method" else "right")
    for line in lines:
        if line["status"] != "done":
            shown.add_row(escape(line["name"]), f"[red]failed[/] {escape(line['error'])}")
            continue
        mark = "[green]✓[/]" if verdict.forgets(line) else "[red]✗[/]"
        first, *rest = (tables.show(line[key]) for key, _, _ in verdict.COLUMNS)
        shown.add_row(
            escape(line["name"]),
            f"{mark} {first}",
            *rest,
            (
                f"{line['finished']}/{len(line['members'])}"
                if groups.grouped(lines)
                else str(line["lpips"]["n"])
            ),
        )
        if line["paper"]:
            shown.add_row(
                "  the paper's",
                *(str(line["paper"].get(key, "")) for key, _, _ in verdict.COLUMNS),
                style="dim",
            )
    return shown
