"""The runs of a sweep: one for itself with a child per cell, found by their tags or made once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unpromptable.storage import files, records

from . import connection

log = logging.getLogger(__name__)
KEY, CELL, PARENT, NONE = "unpromptable.key", "unpromptable.cell", "mlflow.parentRunId", "n/a"
# settings that a continued run may have changed, as nothing that is trained depends on them: tags of a run,
# since MLflow lets no parameter change
FREE = (
    "world",
    "sampling.shards",
    "sampling.when",
    "sampling.stop",
    "networks.folder",
    "networks.features",
    "training.save_every",
    "training.held",
    "training.lookalikes_each",
    "training.until_every",
    "training.until_stride",
)
NOTE = "tracking.json"  # what the sweep should look like on the server, kept through an outage


@dataclass(frozen=True)
class Tracked:
    """A cell as the server is told of it."""

    slug: str  # the readable part of its folder
    name: str
    key: str  # the identity of what is trained
    settings: dict[str, Any]  # by dotted key


@dataclass(frozen=True)
class Sweep:
    """What a sweep should look like on the server."""

    experiment: str
    key: str
    cells: tuple[Tracked, ...]

    @classmethod
    def read(cls, store: str) -> Sweep:
        """What `open_runs` was told."""
        path = files.fetch(Path(store) / NOTE)
        told = records.read(path, dict, experiment=str, key=str, cells=list)
        try:
            return cls(**{**told, "cells": tuple(Tracked(**c) for c in told["cells"])})
        except TypeError as error:
            raise ValueError(f"{path}: damaged ({error}); run the same command again") from error

    def write(self, store: str) -> None:
        """Keep it in the store."""
        files.write_text(Path(store) / NOTE, json.dumps(asdict(self)))


def open_runs(store: str, sweep: Sweep) -> dict[str, str | None]:
    """A sweep run and a child per cell, found by their tags or created: slug -> run id, None where no server
    answers.

    Every cell's run gets the same parameters and tags; where a cell has none: n/a.
    """
    sweep.write(store)
    try:
        return dict(found(connection.client(store), store, sweep)[1])
    except connection.errors() as error:
        connection.warn(store, error, f"results are kept in {store} and sent by the report")
        return {c.slug: None for c in sweep.cells}


def found(client: Any, store: str, sweep: Sweep) -> tuple[str, dict[str, str]]:
    """The sweep run's id and its cells'; what is missing is made, so that calling again after an outage is
    safe.
    """
    home, parent = sweep_of(client, store, sweep)
    client.update_run(parent, status="RUNNING")
    keys = sorted({k for c in sweep.cells for k in c.settings})
    taken = {c.slug for c in sweep.cells}  # whose runs no other cell of the same settings gets
    ids = {}
    for cell in sweep.cells:
        told = {k: str(cell.settings.get(k, NONE)) for k in keys}
        tags = {
            PARENT: parent,
            CELL: cell.slug,
            **{f"unpromptable.{k}": told.pop(k) for k in keys if k in FREE},
        }
        run = _ensure(client, home, f"{sweep.key}/{cell.key}", cell.name, tags, taken - {cell.slug})
        _parameters(client, run, told)
        ids[cell.slug] = run
    return parent, ids


def sweep_of(client: Any, store: str, sweep: Sweep) -> tuple[str, str]:
    """The ids of the experiment and of its sweep run, made where there is none."""
    home, above = experiment(client, store, sweep.experiment), outermost(client)
    return home, _ensure(client, home, sweep.key, sweep.experiment, {PARENT: above} if above else {})


def _parameters(client: Any, run: str, values: dict[str, str]) -> None:
    """A run's parameters, those that it lacks: MLflow lets none change."""
    from mlflow.entities import Param

    known = client.get_run(run).data.params
    fresh = [Param(k, v) for k, v in values.items() if k not in known]
    for i in range(0, len(fresh), 100):
        client.log_batch(run, params=fresh[i : i + 100])


def _ensure(
    client: Any, home: str, key: str, name: str, tags: dict[str, str], others: Collection[str] = ()
) -> str:
    """The id of the run of this key, made where there is none. One that is there gets this name and these
    tags: a cell that was renamed since keeps its run.

    others: slugs of cells whose runs are not taken.
    """
    key = key.replace("'", "%27")  # of a folder's name; it would end the text in the search
    free = [
        r
        for r in client.search_runs([home], f"tags.`{KEY}` = '{key}'")
        if r.data.tags.get(CELL) not in others
    ]
    if not free:
        return client.create_run(home, run_name=name, tags={KEY: key, **tags}).info.run_id
    run = min(free, key=lambda r: r.data.tags.get(CELL) != tags.get(CELL))
    if run.info.run_name != name:
        client.update_run(run.info.run_id, name=name)
    for tag, value in tags.items():
        if tag != PARENT and run.data.tags.get(tag) != value:
            client.set_tag(run.info.run_id, tag, value)
    return run.info.run_id


def experiment(client: Any, store: str, name: str) -> str:
    """The id given by the platform, or the experiment of that name, made with an absolute place for its
    files.
    """
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if given:
        return given
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    local = connection.uri(store).startswith("sqlite")
    return client.create_experiment(name, artifact_location=connection.artifacts(store) if local else None)


def outermost(client: Any) -> str | None:
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
                connection.server(),
            )
            return None
        if not above:
            break
        run = above
    return run
