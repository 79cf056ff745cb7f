"""What a person gets to see at the end: a cell's page, the run's rows, reports and tracking, and whether it
failed.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from unpromptable.planning import spec as planned
from unpromptable.planning.code import code, whole
from unpromptable.planning.experiment import Experiment
from unpromptable.reporting import groups, rows
from unpromptable.reporting.row import Row, write_rows
from unpromptable.storage import files, fingerprints, lease, once, progress

from . import parts, reports
from .opened import located, opened
from .warm_client import warmed

log = logging.getLogger(__name__)
# What Kubeflow tells its last step of a run that was ended from outside, or whose pods vanished: MLMD keeps
# the state in which it was.
STOPPED = ("CANCELED", "CANCELLED", "CANCELING", "RUNNING", "NEW")


def page(experiment: Experiment, row: Row, store: str, key: str) -> None:
    """The cell's row and pictures, which the Kubeflow UI shows at the task, finished under `key`."""
    from unpromptable.reporting.reports import html, markdown

    root = Path(store)
    for shared in ("before.safetensors", "data.safetensors"):
        files.fetch(root / "shared" / shared)
    folder = root / row.folder
    for own in ("after.safetensors", "surrogates.safetensors", "history.jsonl"):
        files.fetch(folder / own)
    files.write_text(folder / "page.md", markdown.table(groups.collect([row])))
    files.write_text(
        folder / "page.html", html.render(root, experiment, [row], "SUCCEEDED", folder / "figures")
    )
    files.finish(folder / "page.html", key)


@opened
def stop(store: str, experiment: str) -> None:
    """End a step that all cells share as failed where one of these failed. Raises RuntimeError with its
    reason.
    """
    once.stop(store)


@opened
def stop_cell(cell: str, store: str) -> None:
    """End a cell's last step as failed where the cell has no result. Raises RuntimeError with its reason."""
    if told := without_result(cell, store):
        raise RuntimeError(told)


@warmed
def without_result(cell: str, store: str) -> str:
    """Why a cell has no result; empty where it has one."""
    found = [row for row in rows.collect(store, cell.rpartition("/")[2]) if not row.ended]
    return f"cell {found[0].name}: {found[0].error}" if found else ""


def verdict(found: list[Row], state: str | None) -> str:
    """How a run ended: SUCCEEDED, FAILED, or TERMINATED before its cells could end; RUNNING while other runs
    of the sweep work.

    The rows decide. Of the engine's `state` only that it stopped is believed: a good run is SUCCEEDED to
    kfp's local runner, COMPLETE or CACHED to KFP 2.17, and RUNNING where it lost count of its tasks.
    """
    if any(r.status == "waiting" for r in found):
        return "RUNNING"
    open_cells = [r.error for r in found if not r.ended]
    if found and not open_cells:
        return "SUCCEEDED"
    return "TERMINATED" if state in STOPPED and found and set(open_cells) == {rows.UNFINISHED} else "FAILED"


def report(store: str, experiment: str, state: str | None, to: str = "", part: str = "") -> None:
    """What the run came to, also after a failed cell; where not even its store can be told, the page at `to`
    says why.
    """
    try:
        located({"store": store, "experiment": experiment})
    except (ValueError, OSError) as error:
        if not to:
            raise
        log.error("nothing to report: %s", error)
        return files.write_text(Path(to), _unplanned({"step": "plan", "error": str(error)}))
    _report(store, experiment, state, to, part)


@opened
def _report(store: str, experiment: str, state: str | None, to: str, part: str) -> None:
    """rows.json, groups.json, every report, and the tracking server brought up to date. Raises once.Stopped
    at the end where a report failed.
    """
    from unpromptable import tracking

    mine = parts.read(part)
    # before the rows are read: of two runs that end together, the later one sees all
    parts.note(store, mine, "ended")
    run = planned.read(store) if planned.planned(store) else None
    found = _waiting(rows.of_all(run, store), run, store, mine) if run else []
    state = verdict(found, state)
    found = found if state == "TERMINATED" else [_lost(row, store) for row in found]
    write_rows(Path(store) / "rows.json", found)
    if run is None:
        return _without_plan(Path(store), to)
    write_rows(Path(store) / "groups.json", groups.collect(found, run.experiment.paper))
    histories = {r.cell: Path(store) / r.folder / "history.jsonl" for r in found}
    drawn = [fingerprints.of(files.fetch(h)) if files.fetch(h).is_file() else "" for h in histories.values()]
    # all that the page and the server show
    shown = [run.to_text(), [r.to_json() for r in found], drawn, once.failure(store), state]
    made, failed = reports.found()
    others = code(*(type(report).__module__ for report in made.values()))
    mark = fingerprints.digest([*shown, tracking.uri(store), whole(), others])
    page = Path(store) / "report.html"
    if failed or not files.finished(page, mark):
        _bring(Path(store), found)
        pages, broken = reports.write(made, Path(store), run.experiment, found, state)
        failed += broken
        pictures = run.experiment.report.tracked
        sent = tracking.close(store, run.experiment.name, found, histories, pages, state, pictures)
        if sent and not failed:
            files.finish(page, mark, _beside(page, pages))
    else:
        tracking.settle(store, state)
    if to and page.is_file():
        files.deliver(page, to)
    reports.say(store, failed)
    progress.event(store, "", "report", "done", str(page))


def _beside(page: Path, pages: list[Path]) -> list[Path]:
    """What the reports wrote beside a page, and their figures."""
    return [*(p for p in pages if p != page), *sorted(page.with_name("figures").glob("*.png"))]


def _waiting(found: list[Row], run: planned.Run, store: str, mine: parts.Part) -> list[Row]:
    """The rows, of which the unfinished ones wait for the other runs of this sweep that are at work."""
    busy = parts.at_work(store, mine)
    if not busy:
        return found
    ours = {spec.folder for spec in mine.of(run.longest_first())}
    told = f"not finished yet; run {', '.join(map(str, busy))} of {mine.total} of this sweep is at work"
    waits = lambda r: r.error == rows.UNFINISHED and r.folder not in ours
    return [replace(r, status="waiting", error=told) if waits(r) else r for r in found]


def _lost(row: Row, store: str) -> Row:
    """The row; one whose cell ended without a word says what was at work, since a kill of the whole pod says
    nothing.
    """
    begun = lease.left(Path(store) / row.folder) if row.error == rows.UNFINISHED else {}
    if not begun:
        return row
    what = ", ".join(f"{name} (by {owner})" for name, owner in begun.items())
    why = "most likely its pod was killed for memory or lost, or another run is at work on it"
    return replace(row, error=f"{rows.UNFINISHED}: {what} was begun and not ended; {why}")


def _without_plan(root: Path, to: str) -> None:
    """The page of a run whose experiment could not be read."""
    told = once.failure(root) or {"step": "plan", "error": "did not finish"}
    files.clear(root / "report.html")
    files.write_text(root / "report.html", _unplanned(told))
    if to:
        files.deliver(root / "report.html", to)
    progress.event(str(root), "", "report", "done", str(root / "report.html"))


def _unplanned(told: dict[str, Any]) -> str:
    from unpromptable.reporting.reports import html

    return html.template("unplanned").render(told=told)


def _bring(root: Path, found: list[Row]) -> None:
    """What the report shows, from an object store."""
    names = ("after.safetensors", "surrogates.safetensors", "history.jsonl")
    for path in [
        root / "shared" / "before.safetensors",
        root / "shared" / "data.safetensors",
        *(root / r.folder / n for r in found for n in names),
    ]:
        files.fetch(path)
