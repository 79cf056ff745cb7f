"""MLflow, and the only mlflow import: one sweep run with a child per cell, created once, written by explicit
id.

What a run should hold is on disk first (history.jsonl, row.json); `live` sends it along while training where
a server is named, and `close` brings everything up to date at the end. A server that is away is a warning,
never a stop.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpromptable.scoring import verdict

from .storage import databases, once
from .storage import store as storing

log = logging.getLogger(__name__)
KEY, PARENT, NONE = "unpromptable.key", "mlflow.parentRunId", "n/a"
NOTE = "tracking.json"  # what the sweep should look like on the server, kept through an outage
BATCH = 1000  # metrics in one request, MLflow's limit
SKIPPED = ("slug", "name", "key")
# reporting.verdict -> MLflow; a failed cell is one while other runs are at work
ENDS = {"SUCCEEDED": "FINISHED", "TERMINATED": "KILLED", "FAILED": "FAILED", "RUNNING": "FAILED"}

REASONS = (  # what a step that cannot use its tracking says in the log, and goes on
    ("mlflow.exceptions", "MlflowException"),
    ("requests.exceptions", "RequestException"),
    ("sqlalchemy.exc", "SQLAlchemyError"),
    ("alembic.util.exc", "CommandError"),
)


def server() -> str:
    """The tracking server's address or an empty text: the platform's MLFLOW_TRACKING_URI, else the pod's own
    setting.

    The pod's are UNPROMPTABLE_TRACKING_*: Kubeflow's MLflow plugin may set MLFLOW_*, and a name set twice
    makes a pod invalid.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        given = {
            name: os.environ.get(f"UNPROMPTABLE_TRACKING_{name}") for name in ("URI", "USERNAME", "PASSWORD")
        }
        os.environ.update({f"MLFLOW_TRACKING_{name}": value for name, value in given.items() if value})
    return os.environ.get("MLFLOW_TRACKING_URI", "")


def uri(store: str) -> str:
    """The tracking address: the server's, or a database in the run's folder."""
    return server() or f"sqlite:///{Path(store).resolve() / 'mlflow.db'}"


def check(store: str) -> None:
    """Raise ValueError in one line where it can be told from here, before a run starts, that it cannot be
    tracked.
    """
    told = "MLFLOW_TRACKING_URI" if server() else store
    odd = sorted(set(databases.NO_FOLDER) & set(str(Path(store).resolve())))
    if odd and not server():
        remedy = "choose another folder, or name a server in MLFLOW_TRACKING_URI"
        raise ValueError(f"{told}: MLflow takes no database below a name with {' or '.join(odd)}; {remedy}")
    databases.check(told, uri(store))


def open_runs(
    store: str, experiment: str, sweep_key: str, cells: list[dict[str, Any]]
) -> dict[str, str | None]:
    """A sweep run and a child per cell, found by their tags or created: slug -> run id, None where no server
    answers.

    cells: flat settings with 'slug', 'name' and 'key'. Every run gets the same parameters; where a cell has
    none: n/a.
    """
    note = {"experiment": experiment, "key": sweep_key, "cells": cells}
    storing.write_text(Path(store) / NOTE, json.dumps(note))
    try:
        return dict(_open(_client(store), store, note)[1])
    except _errors() as error:
        _warn(store, error, f"results are kept in {store} and sent by the report")
        return {c["slug"]: None for c in cells}


def _open(client: Any, store: str, note: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The sweep run's id and its cells'; what is missing is made, so that calling again after an outage is
    safe.
    """
    sweep_key, cells = note["key"], note["cells"]
    home, sweep = _sweep(client, store, note)
    client.update_run(sweep, status="RUNNING")
    keys = sorted({k for c in cells for k in c} - set(SKIPPED))
    ids = {}
    for cell in cells:
        run = _ensure(
            client,
            home,
            f"{sweep_key}/{cell['key']}",
            cell["name"],
            {PARENT: sweep, "unpromptable.cell": cell["slug"]},
        )
        _parameters(client, run, {k: str(cell.get(k, NONE)) for k in keys})
        ids[cell["slug"]] = run
    return sweep, ids


def _sweep(client: Any, store: str, note: dict[str, Any]) -> tuple[str, str]:
    """The ids of the experiment and of its sweep run, made where there is none."""
    home = _experiment(client, store, note["experiment"])
    return home, _ensure(client, home, note["key"], note["experiment"], {PARENT: _outermost(client)})


def close(
    store: str,
    experiment: dict[str, Any],
    rows: list[dict[str, Any]],
    histories: dict[str, Path],
    files: Iterable[Path],
    state: str,
) -> bool:
    """Bring the server up to date: step histories, metrics, checkpoints, reports, final states. False where
    it is away.
    """
    try:
        client = _client(store)
        sweep, runs = _open(client, store, json.loads(storing.fetch(Path(store) / NOTE).read_text()))
        metrics = sorted({k for r in rows for k, v in r.items() if isinstance(v, dict) and "mean" in v})
        logged = sorted({k for path in histories.values() for k in _keys(path)})
        for row in [r for r in rows if r["status"] != "waiting"]:
            _close_cell(
                client,
                runs[row["cell"]],
                row,
                histories.get(row["cell"]),
                metrics,
                logged,
                Path(store),
                ENDS[state],
            )
        for file in [*files, Path(store) / "rows.json", *sorted((Path(store) / "figures").glob("*.png"))]:
            if Path(file).is_file():
                client.log_artifact(sweep, str(file), "figures" if file.suffix == ".png" else None)
        _register(client, experiment["name"], rows, runs)
        told = once.failure(store)
        _tag_error(client, sweep, f"{told['step']}: {told['error']}" if told else None)
        _end(client, sweep, state)
        return True
    except _errors() as error:
        _warn(store, error, f"run again to send what is kept in {store}")
        return False


def settle(store: str, state: str) -> bool:
    """Give the sweep run its final state, where a repeated run had nothing else to send. False where no
    server answers.
    """
    try:
        client = _client(store)
        _, sweep = _sweep(client, store, json.loads(storing.fetch(Path(store) / NOTE).read_text()))
        _end(client, sweep, state)
        return True
    except _errors() as error:
        _warn(store, error, "the sweep's run stays open there until the next run")
        return False


def _warn(store: str, error: BaseException, then: str) -> None:
    log.warning(
        "tracking: %s cannot be used (%s); %s", databases.shown(uri(store)), databases.line(error), then
    )


def _end(client: Any, sweep: str, state: str) -> None:
    """The sweep's final state; it stays open while other runs of it are at work."""
    if state == "RUNNING":
        client.update_run(sweep, status="RUNNING")
    else:
        client.set_terminated(sweep, ENDS[state])


@contextmanager
def live(run_id: str | None, history: Path) -> Iterator[None]:
    """Send a growing history.jsonl to the named server every few seconds, beside the training; errors are
    warnings.

    Without a server the report logs everything at once into the local database.
    """
    if run_id is None or not server():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_tail, args=(run_id, history, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=10)


def _tail(run_id: str, history: Path, done: threading.Event) -> None:
    sent = 0
    try:
        client = _client("")
        client.update_run(run_id, status="RUNNING")
        start = client.get_run(run_id).info.start_time
        while True:
            last = done.wait(5)
            lines = history.read_text().splitlines()[sent:] if history.exists() else []
            _points(client, run_id, lines, start)
            sent += len(lines)
            if last:
                return
    except _errors() as error:
        log.warning("tracking: %s; the rest of the history is sent by the report", databases.line(error))


def _close_cell(
    client: Any,
    run: str,
    row: dict[str, Any],
    history: Path | None,
    metrics: list[str],
    logged: list[str],
    store: Path,
    end: str,
) -> None:
    start = client.get_run(run).info.start_time
    if history and history.is_file():
        _points(client, run, history.read_text().splitlines(), start)
    nothing = dict.fromkeys(("mean", "low", "high"), math.nan)
    values = {
        k if side == "mean" else f"{k}.{side}": (row.get(k) or nothing)[side]
        for k in metrics
        for side in ("mean", "low", "high")
    }
    # every cell has every key
    values |= {f"train/{k}": math.nan for k in logged if k not in (_keys(history) if history else ())}
    _send(client, run, [(k, v, start, 0) for k, v in values.items()])
    checkpoint = store / row["folder"] / "unlearned"
    if row["status"] == "done":
        client.set_tag(run, "checkpoint_uri", storing.address(checkpoint))
        if "://" not in storing.address(checkpoint) and not any(
            a.path == "unlearned" for a in client.list_artifacts(run)
        ):
            client.log_artifacts(run, str(checkpoint), "unlearned")
    _tag_error(client, run, row["error"])
    client.set_terminated(run, "FINISHED" if row["status"] == "done" else end)


def _tag_error(client: Any, run: str, text: str | None) -> None:
    """What failed, as the run's tag `error`; an earlier attempt's tag goes."""
    if text:
        client.set_tag(run, "error", text)
    elif "error" in client.get_run(run).data.tags:
        client.delete_tag(run, "error")


def _register(client: Any, experiment: str, rows: list[dict[str, Any]], runs: dict[str, str]) -> None:
    """A version in the model registry for every finished cell, with the cell's name as alias; `best` is the
    one to take.

    Best: the lowest FID_pre among the cells that forget.
    """
    from mlflow.exceptions import MlflowException

    name = f"unpromptable-{experiment}"
    try:
        client.create_registered_model(
            name, description="Checkpoints of one unlearning experiment, one version per cell."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    best = verdict.best(rows, "fid_pre")
    for row in rows:
        if row["status"] != "done":
            continue
        run = client.get_run(runs[row["cell"]])
        kept = run.data.tags["checkpoint_uri"]
        source = kept if "://" in kept else f"{run.info.artifact_uri}/unlearned"
        known = [v for v in client.search_model_versions(f"name = '{name}'") if v.run_id == run.info.run_id]
        version = (
            known[0]
            if known
            else client.create_model_version(name, source, run.info.run_id, description=row["name"])
        )
        for alias in [_alias(row["cell"]), *(["best"] if row["name"] == best else [])]:
            client.set_registered_model_alias(name, alias, version.version)


def _alias(slug: str) -> str:
    """A cell's alias; MLflow keeps `latest` and `v1` for itself, and `best` is another's."""
    return f"cell-{slug}" if re.fullmatch(r"best|latest|v\d+", slug) else slug


def _keys(history: Path) -> set[str]:
    """The numbers that a history's updates hold."""
    lines = history.read_text().splitlines() if history.is_file() else []
    return (
        {k for k, v in json.loads(lines[-1]).items() if isinstance(v, (int, float)) and k != "step"}
        if lines
        else set()
    )


def _points(client: Any, run: str, lines: list[str], start: int) -> None:
    """Step histories; a point's time follows from its step, so that a point sent twice is one point."""
    points = []
    for line in lines:
        one = json.loads(line)
        points += [
            (f"train/{k}", float(v), start + one["step"], one["step"])
            for k, v in one.items()
            if isinstance(v, (int, float)) and k != "step"
        ]
    _send(client, run, points)


def _send(client: Any, run: str, points: list[tuple[str, float, int, int]]) -> None:
    from mlflow.entities import Metric

    for i in range(0, len(points), BATCH):
        client.log_batch(run, metrics=[Metric(*p) for p in points[i : i + BATCH]])


def _parameters(client: Any, run: str, values: dict[str, str]) -> None:
    from mlflow.entities import Param

    known = client.get_run(run).data.params
    fresh = [Param(k, v) for k, v in values.items() if k not in known]
    for i in range(0, len(fresh), 100):
        client.log_batch(run, params=fresh[i : i + 100])


def _ensure(client: Any, home: str, key: str, name: str, tags: dict[str, str | None]) -> str:
    key = key.replace("'", "%27")  # of a folder's name; it would end the text in the search
    found = client.search_runs([home], f"tags.`{KEY}` = '{key}'", max_results=1)
    if found:
        return found[0].info.run_id
    return client.create_run(
        home, run_name=name, tags={KEY: key, **{k: v for k, v in tags.items() if v}}
    ).info.run_id


def _experiment(client: Any, store: str, name: str) -> str:
    """The id given by the platform, or the experiment of that name, made with an absolute place for its
    files.
    """
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if given:
        return given
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    local = uri(store).startswith("sqlite")
    return client.create_experiment(
        name, artifact_location=(Path(store).resolve() / "mlartifacts").as_uri() if local else None
    )


def _outermost(client: Any) -> str | None:
    """The run at the top of the platform's own tree, where it gave this task one on this server."""
    from mlflow.exceptions import MlflowException

    run = os.environ.get("MLFLOW_RUN_ID")
    while run:
        try:
            above = client.get_run(run).data.tags.get(PARENT)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            log.warning(
                "tracking: the platform's run %s is on another server than %s, so the sweep stands alone",
                run,
                server(),
            )
            return None
        if not above:
            break
        run = above
    return run


def _client(store: str) -> Any:
    # the default waits 246 s per call for a server that is away
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    check(store)
    databases.reach(uri(store))
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri(store))


def _errors() -> tuple[type[BaseException], ...]:
    """What is a warning here, never a stop: of the libraries, as far as they are installed, and of what they
    import and read.
    """
    found: list[type[BaseException]] = [OSError, ImportError, ValueError]
    for module, name in REASONS:
        try:
            found.append(getattr(importlib.import_module(module), name))
        except ImportError:
            continue
    return tuple(found)
