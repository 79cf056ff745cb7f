"""What a tracking server holds of a sweep's pictures and names, removed as far as MLflow lets it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unpromptable.reporting import veil
from unpromptable.storage import databases, files, fingerprints
from unpromptable.storage.inventory import Held

from . import connection, runs, uploads

Rename = Callable[[str], str]


@dataclass(frozen=True)
class Missed:
    """What could not be reached, and why, or what to do."""

    what: str
    why: str


@dataclass
class _Server:
    """A sweep's runs on a server, and what became of them."""

    client: Any
    address: str
    rename: Rename | None
    plots: bool  # whether plots go too
    gone: list[Held] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)


def remove(store: str, rename: Rename | None, plots: bool) -> tuple[list[Held], list[Missed]]:
    """Remove the reports and figures with pictures of a run's sweep from the server that is named, and what
    could not be reached. A run's own database lies in its folder and is none of this.

    rename: takes the names out of a text, where these go too. plots: whether plots of numbers go as well.
    """
    if not files.fetch(Path(store) / runs.NOTE).is_file():
        return [], []
    if not connection.server():
        there = (Path(store) / connection.DATABASE).is_file()
        why = "no server is named; if one tracked this run, set MLFLOW_TRACKING_URI and purge again"
        return [], [] if there else [Missed("artifacts on a tracking server", why)]
    address = databases.shown(connection.uri(store))
    try:
        at = _Server(connection.client(store), address, rename, plots)
        return _remove(at, runs.Sweep.read(store))
    except _errors() as error:
        return [], [Missed(f"artifacts on {address}", databases.line(error))]


def _remove(at: _Server, sweep: runs.Sweep) -> tuple[list[Held], list[Missed]]:
    found = list(_runs(at.client, sweep))
    if not found:
        at.missed.append(Missed(f"artifacts on {at.address}", "no run of this sweep is there"))
    for run in found:
        try:
            _pictures(at, run)
            if at.rename:
                _names(at, run, at.rename)
        except _errors() as error:
            at.missed.append(Missed(f"run {run.info.run_id} on {at.address}", databases.line(error)))
    if found and at.rename:
        _versions(at, f"unpromptable-{sweep.experiment}", {r.info.run_id for r in found}, at.rename)
    return at.gone, at.missed


def _runs(client: Any, sweep: runs.Sweep) -> Iterator[Any]:
    """The sweep's run and its cells', those in the bin too; none is made."""
    home = os.environ.get("MLFLOW_EXPERIMENT_ID")
    named = None if home else client.get_experiment_by_name(sweep.experiment)
    home = home or (named and named.experiment_id)
    if not home:
        return
    key = sweep.key.replace("'", "%27")
    for parent in _search(client, home, f"tags.`{runs.KEY}` = '{key}'"):
        yield parent
        yield from _search(client, home, f"tags.`{runs.PARENT}` = '{parent.info.run_id}'")


def _search(client: Any, home: str, words: str) -> list[Any]:
    from mlflow.entities import ViewType

    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([home], words, run_view_type=ViewType.ALL, page_token=token)
        found, token = [*found, *page], page.token
        if not token:
            return found


def _artifacts(client: Any, run: str, folder: str | None = None) -> Iterator[str]:
    """Paths of a run's files, but those of its checkpoint."""
    for one in client.list_artifacts(run, folder):
        if one.is_dir and one.path != uploads.PLACE:
            yield from _artifacts(client, run, one.path)
        elif not one.is_dir:
            yield one.path


def _pictures(at: _Server, run: Any) -> None:
    """Remove a run's artifacts that may hold pictures, and see that they are gone."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    name, client = run.info.run_id, at.client
    held = lambda: [a for a in _artifacts(client, name) if at.plots and a.endswith(".png") or _shows(a)]
    kept = get_artifact_repository(run.info.artifact_uri, tracking_uri=connection.server())
    for path in held():
        one = _fetched(at, name, path, lambda file: Held(path, *_measured(file), f"{at.address} run {name}"))
        kept.delete_artifacts(path)
        at.gone.append(one)
    for path in held():
        at.missed.append(Missed(f"{path} of run {name} on {at.address}", "the server keeps it"))


def _errors() -> tuple[type[BaseException], ...]:
    """What keeps a server's artifacts from going: it is away or refuses, or its store cannot remove."""
    return (*connection.errors(), NotImplementedError)


def _shows(path: str) -> bool:
    return not veil.plain(Path(path))


def _fetched(at: _Server, run: str, path: str, use: Callable[[Path], Any]) -> Any:
    """What `use` makes of an artifact's copy, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, connection.patient():
        return use(Path(at.client.download_artifacts(run, path, folder)))


def _measured(file: Path) -> tuple[int, str]:
    return file.stat().st_size, fingerprints.sha256(file)


def _names(at: _Server, run: Any, rename: Rename) -> None:
    """Take the names out of a run's tags and texts; its parameters cannot be changed."""
    client, name = at.client, run.info.run_id
    for key, value in run.data.tags.items():
        if rename(value) != value:
            client.set_tag(name, key, rename(value))
    for key, value in run.data.params.items():
        if rename(value) != value:
            why = "MLflow lets no parameter change; delete the run there, and have `mlflow gc` remove it"
            at.missed.append(Missed(f"parameter {key} of run {name} on {at.address}", why))
    for path in _artifacts(client, name):
        if Path(path).suffix in veil.TEXTS:
            _fetched(at, name, path, lambda file: _renamed(client, name, path, file, rename))


def _renamed(client: Any, run: str, path: str, file: Path, rename: Rename) -> None:
    text = file.read_text(encoding="utf-8")
    if rename(text) != text:
        file.write_text(rename(text), encoding="utf-8")
        client.log_artifact(run, str(file), str(Path(path).parent) if "/" in path else None)


def _versions(at: _Server, model: str, ids: set[str], rename: Rename) -> None:
    """Take the names out of what the model registry says of the runs' checkpoints."""
    client = at.client
    for version in client.search_model_versions(f"name = '{model}'"):
        if version.run_id not in ids:
            continue
        if rename(version.description or "") != (version.description or ""):
            client.update_model_version(model, version.version, rename(version.description))
        for alias in client.get_model_version(model, version.version).aliases:
            if rename(alias) != alias:
                client.delete_registered_model_alias(model, alias)
                client.set_registered_model_alias(model, rename(alias), version.version)
        if rename(version.source) != version.source:
            why = "MLflow lets no version's source change; delete the version there"
            at.missed.append(Missed(f"source of {model} {version.version} on {at.address}", why))
