"""One row per cell: its settings as flat keys, its numbers, or what failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from unpromptable.planning import spec as planned
from unpromptable.planning.experiment import Experiment, to_json
from unpromptable.planning.spec import Run, Spec
from unpromptable.storage import attempts, once, records

from . import stopped, took, unsampled
from .row import Row

UNFINISHED = "did not finish"  # the error of a cell that neither ended nor failed
GIVEN = "unlearned elsewhere"  # the method of a model that was not trained here
COMMON = ("world", "model", "sampling", "injection", "networks", "real")  # what is shown of an experiment


def flat(experiment: Experiment, spec: Spec) -> dict[str, Any]:
    """A cell's settings as dotted keys, what the report and MLflow show: of a model that was unlearned
    elsewhere its folder, in place of a method, editor and training of which none ran.
    """
    out: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, path if key == "settings" else f"{path}.{key}".strip("."))
        else:
            out[path] = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    cell, said = to_json(spec.cell), to_json(experiment)
    own = ("forget", "unlearned") if cell["unlearned"] else ("training", "forget")
    walk({**{k: v for k, v in said.items() if k in COMMON}, **{k: cell[k] for k in own}}, "")
    if cell["unlearned"]:
        return {**out, "method": GIVEN}
    for kind in ("method", "editor"):
        out[kind] = cell[kind]["name"]
        walk(cell[kind]["settings"], kind)
    return out


def collect(store: str, folder: str = "") -> list[Row]:
    """A row per planned cell, or of the one in this folder, failed and missing ones included.

    In the experiment's order.
    """
    if not planned.planned(store):
        return []
    return of_all(planned.read(store, folder), store)


def of_all(run: Run, store: str) -> list[Row]:
    """The same of a run that was read."""
    return [of(run.experiment, spec, store) for spec in run.cells]


def of(experiment: Experiment, spec: Spec, store: str) -> Row:
    """A cell's row: finished, with what the present experiment says of it, or failed.

    A group may be renamed without measuring anew.
    """
    found = stopped.read(experiment, spec, store)
    judged_by = spec.cut(found.images) if found else spec
    told = stopped.words(found, experiment) if found else ""
    row = _row(experiment, judged_by, store)
    return replace(row, stopped=told, took=took.of(experiment, spec, store, judged_by))


def _row(experiment: Experiment, spec: Spec, store: str) -> Row:
    output = spec.output(store, "score", "row.json", "row")
    if not output.finished():
        left = experiment.sampling.when == "forgets" and unsampled.decision(spec, store)
        return failed(experiment, spec, store) if not left or left.draw else judged(experiment, spec, store)
    row, told = records.read(output.path), head(experiment, spec)
    return Row.from_json({**row, **told, "run_id": told["run_id"] or row.get("run_id")})


def finished(experiment: Experiment, spec: Spec, store: str, values: dict[str, Any]) -> Row:
    """The row of a cell that was measured. values: metrics, labels, surrogates, seconds and inputs, as JSON
    has them.
    """
    again = {"again": _again(spec, store)}
    return Row.from_json({**head(experiment, spec), "status": "done", "error": None, **again, **values})


def failed(experiment: Experiment, spec: Spec, store: str) -> Row:
    """The row of a cell that has no result."""
    shared = once.failure(store)
    waits = {"step": "", "error": f"did not run, since {shared['step']} failed" if shared else UNFINISHED}
    error = once.noted(spec.place(store)) or waits
    return Row(
        **head(experiment, spec),
        status="failed",
        error=f"{error['step']}: {error['error']}".strip(": "),
        again=tuple(_again(spec, store)),
        metrics={m.name: None for m in experiment.metrics},
    )


def judged(experiment: Experiment, spec: Spec, store: str) -> Row:
    """The row of a cell whose injection test was judged, and that was not sampled."""
    found = unsampled.judged(spec, store)
    if found is None:  # its numbers were lost since: they are measured again by the next run
        return failed(experiment, spec, store)
    return Row(
        **head(experiment, spec),
        status=unsampled.STATUS,
        error=unsampled.reason([("", found["sscd"].mean)]),
        again=tuple(_again(spec, store)),
        metrics={**{m.name: None for m in experiment.metrics}, **found},
    )


def _again(spec: Spec, store: str) -> list[str]:
    """The attempts at the cell's steps that the machine failed."""
    return attempts.notes(Path(store) / spec.folder)


def head(experiment: Experiment, spec: Spec) -> dict[str, Any]:
    """What every row says of its cell, with or without a result."""
    cell = spec.cell
    assert cell is not None, "what all cells share has no row"
    return {
        "name": spec.name,
        "line": cell.group,
        "cell": spec.slug,
        "folder": spec.folder,
        "method": cell.method.name,
        "editor": cell.editor.name,
        "networks": experiment.networks.name,
        "settings": flat(experiment, spec),
        "run_id": spec.run_id,
        "origin": cell.origin,
    }
