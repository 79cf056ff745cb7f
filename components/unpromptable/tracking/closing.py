"""A sweep's end on the server: histories, metrics, checkpoints, reports and final states, each once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from unpromptable.reporting import took, veil
from unpromptable.reporting.row import Row, Took
from unpromptable.scoring import verdict
from unpromptable.storage import files, once

from . import connection, points, runs, uploads

# how a run ended -> MLflow; a failed cell is one while other runs are at work
ENDS = {"SUCCEEDED": "FINISHED", "TERMINATED": "KILLED", "FAILED": "FAILED", "RUNNING": "FAILED"}


def close(
    store: str,
    experiment: str,
    rows: Sequence[Row],
    histories: dict[str, Path],
    pages: Iterable[Path],
    state: str,
    pictures: bool = False,
) -> bool:
    """Bring the server up to date: step histories, metrics, checkpoints, reports, final states. False where
    it is away.

    experiment: its name. histories: a cell's history.jsonl by the cell. pages: the reports. pictures: whether
    those that hold pictures are sent too.
    """
    try:
        client = connection.client(store)
        sweep, ids = runs.found(client, store, runs.Sweep.read(store))
        metrics = sorted({k for r in rows for k in r.means()})
        steps = sorted({step for r in rows for step in r.took})
        logged = sorted({k for path in histories.values() for k in points.keys(path)})
        for row in rows:
            if row.status != "waiting":
                history = histories.get(row.cell)
                _measured(client, ids[row.cell], row, history, metrics, logged, steps)
                _ended(client, ids[row.cell], row, Path(store) / row.folder / "unlearned", ENDS[state])
        _files(client, sweep, [*pages, Path(store) / "rows.json"], pictures)
        _files(client, sweep, sorted((Path(store) / "figures").glob("*.png")), pictures, "figures")
        _register(client, experiment, rows, ids)
        common = took.shared(Path(store))
        _numbers(client, client.get_run(sweep), _took(common, list(common)))
        told = once.failure(store)
        _tag(client, sweep, "error", f"{told['step']}: {told['error']}" if told else None)
        _end(client, sweep, state)
        return True
    except connection.errors() as error:
        connection.warn(store, error, f"run again to send what is kept in {store}")
        return False


def settle(store: str, state: str) -> bool:
    """Give the sweep run its final state, where a repeated run had nothing else to send. False where no
    server answers.
    """
    try:
        client = connection.client(store)
        _, sweep = runs.sweep_of(client, store, runs.Sweep.read(store))
        _end(client, sweep, state)
        return True
    except connection.errors() as error:
        connection.warn(store, error, "the sweep's run stays open there until the next run")
        return False


def _files(client: Any, run: str, paths: Iterable[Path], pictures: bool, to: str | None = None) -> None:
    """Send those that are there; what holds pictures only where these are asked for."""
    with connection.patient():
        for path in paths:
            if path.is_file() and (pictures or veil.plain(path)):
                client.log_artifact(run, str(path), to)


def _end(client: Any, sweep: str, state: str) -> None:
    """The sweep's final state; it stays open while other runs of it are at work."""
    if state == "RUNNING":
        client.update_run(sweep, status="RUNNING")
    else:
        client.set_terminated(sweep, ENDS[state])


def _measured(
    client: Any,
    run: str,
    row: Row,
    history: Path | None,
    metrics: list[str],
    logged: list[str],
    steps: list[str],
) -> None:
    """A cell's history and numbers; every cell has every key, those without a number as nan."""
    known = client.get_run(run)
    shown = known.data.metrics
    had = [k for k in shown if f"{k}.low" in shown and f"{k}.high" in shown]  # an earlier attempt
    values: dict[str, float] = {}
    for metric in dict.fromkeys([*metrics, *had]):
        value = row.metrics.get(metric)
        for side in ("mean", "low", "high"):
            name = metric if side == "mean" else f"{metric}.{side}"
            number = getattr(value, side, None)  # of a single value there is no interval
            values[name] = math.nan if number is None else number
    values |= _took(row.took, steps)
    own = points.keys(history) if history else ()
    values |= {f"train/{k}": math.nan for k in logged if k not in own}
    lines = history.read_text().splitlines() if history and history.is_file() else []
    _numbers(client, known, values, points.curves(lines, run, known.info.start_time))


def _numbers(client: Any, run: Any, values: dict[str, float], curves: Sequence[points.Point] = ()) -> None:
    """Numbers of a run's end, and those over its updates, where the run does not show them."""
    points.bring(client, run, [*curves, *((k, v, run.info.start_time, 0) for k, v in values.items())])


def _took(spent: dict[str, Took], steps: list[str]) -> dict[str, float]:
    """What the steps took, by `took/STEP/WHAT`; nan where there is no number."""
    names = [(step, f.name) for step in steps for f in fields(Took)]
    of = lambda step, name: getattr(spent[step], name) if step in spent else None
    found = {f"took/{step}/{name}": of(step, name) for step, name in names}
    return {k: math.nan if v is None else float(v) for k, v in found.items()}


def _ended(client: Any, run: str, row: Row, checkpoint: Path, end: str) -> None:
    """A cell's checkpoint, what failed or why it was not sampled, and its final state."""
    if row.ended:
        address = files.address(checkpoint)
        client.set_tag(run, "checkpoint_uri", address)
        if "://" not in address:
            uploads.send(client, run, checkpoint)
    _tag(client, run, "error", None if row.ended else row.error)
    _tag(client, run, "unsampled", row.error if row.ended else None)
    client.set_terminated(run, "FINISHED" if row.ended else end)


def _tag(client: Any, run: str, name: str, text: str | None) -> None:
    """What failed, or why there are no images, as a tag of the run; an earlier attempt's goes."""
    if text:
        client.set_tag(run, name, text)
    elif name in client.get_run(run).data.tags:
        client.delete_tag(run, name)


def _register(client: Any, experiment: str, rows: Sequence[Row], ids: dict[str, str]) -> None:
    """A version in the model registry for every finished cell, with the cell's name as alias; `best` is the
    one to take: the lowest FID_pre among the cells that forget, and gone where none does.
    """
    name = f"unpromptable-{experiment}"
    _model(client, name)
    best = verdict.best(rows, "fid_pre")
    for row in rows:
        if row.ended:
            version = _version(client, name, ids[row.cell], row.name)
            for alias in [_alias(row.cell), *(["best"] if row.name == best else [])]:
                client.set_registered_model_alias(name, alias, version)
    if best is None and "best" in client.get_registered_model(name).aliases:
        client.delete_registered_model_alias(name, "best")


def _model(client: Any, name: str) -> None:
    """The experiment's entry in the registry, made where there is none."""
    from mlflow.exceptions import MlflowException

    what = "Checkpoints of one unlearning experiment, one version per cell."
    try:
        client.create_registered_model(name, description=what)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(client: Any, model: str, run_id: str, description: str) -> str:
    """The version of a run's checkpoint, made where there is none."""
    run = client.get_run(run_id)
    kept = run.data.tags["checkpoint_uri"]
    source = kept if "://" in kept else f"{run.info.artifact_uri}/{uploads.PLACE}"
    known = [v for v in client.search_model_versions(f"name = '{model}'") if v.run_id == run_id]
    made = known or [client.create_model_version(model, source, run_id, description=description)]
    if made[0].description != description:  # the cell was renamed
        client.update_model_version(model, made[0].version, description)
    return made[0].version


def _alias(slug: str) -> str:
    """A cell's alias; MLflow keeps `latest` and `v1` for itself, and `best` is another's."""
    return f"cell-{slug}" if re.fullmatch(r"best|latest|v\d+", slug) else slug
