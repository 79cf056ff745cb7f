"""One page of all tables and figures: the paper's claims on top, then every run's result beside the paper's
numbers.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from unpromptable.planning.spec import Run
from unpromptable.reporting.reports import html
from unpromptable.reporting.row import parse_rows
from unpromptable.storage import records

from . import claims


def write(out: Path, names: list[str], world: str) -> tuple[Path, list[claims.Verdict]]:
    """overview.html, claims.md and claims.json in `out`, whose subfolders are the runs of `names`, and
    `theory`.
    """
    made = [name for name in names if (out / name / "rows.json").is_file()]
    theory = _theory(out / "theory")
    verdicts = claims.of_runs([*(out / n for n in made), *([out / "theory"] if theory else [])])
    page = out / "overview.html"
    tables = [(table, list(part)) for table, part in groupby(verdicts, key=lambda v: v.claim.table)]
    read = lambda name: ((out / name / f).read_text() for f in ("experiment.json", "rows.json"))
    told = {"summary": claims.summary(verdicts), "claims": tables, "theory": theory, "world": world}
    runs = [_run(out / name, *read(name)) for name in made]
    page.write_text(html.template("overview").render(runs=runs, **told))
    claims.write(out, verdicts)
    return page, verdicts


@cache
def _run(store: Path, planned: str, found: str) -> dict[str, Any]:
    """A run's part of the page. Its figures take seconds, and the page is written again after every
    experiment.
    """
    experiment, name = Run.from_text(planned, where=str(store)).experiment, store.name
    rows = parse_rows(found.encode(), str(store / "rows.json"))
    state = "SUCCEEDED" if all(r.ended for r in rows) else "FAILED"
    return {
        "name": name,
        "title": experiment.title or name,
        "description": experiment.description,
        "report": f"{name}/report.html",
        "html": html.result(store, experiment, rows, state),
    }


def _theory(folder: Path) -> dict[str, Any] | None:
    if not (folder / "theory.json").is_file():
        return None
    return {
        "rows": records.read(folder / "theory.json", list),
        "figure": html.embedded(folder / "figure4.png"),
    }
