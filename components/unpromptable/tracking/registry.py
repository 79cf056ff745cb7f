"""A series of releases in MLflow's model registry: a version for each, `candidate` and `champion` as aliases.

A version holds the whole release: the diffusers folder, its card and its certificate. Which version was the
champion before another is a tag of that other.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from unpromptable.storage import databases

from . import connection, runs

CANDIDATE, CHAMPION = "candidate", "champion"
BEFORE, REQUEST, MODEL = "unpromptable.before", "unpromptable.request", "unpromptable.model"  # tags
PLACE = "model"  # the version's folder among a run's artifacts
RELEASE = f"{PLACE}/artifacts/release"  # in it the release, as `loaded` finds it


QUIET = {  # MLflow's own lines, which would stand between those of a command
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Version:
    """A registered release."""

    number: str
    run: str  # of MLflow, whose artifact it is
    before: str  # the version that was the champion until this one was; empty for none


@contextmanager
def _reached(folder: Path) -> Iterator[Any]:
    """MLflow's client. Raises ValueError, one line, where the registry cannot be used."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        yield connection.client(str(folder))
    except ImportError as error:
        why = f"needs MLflow ({error}); install the package's extra `server`"
        raise ValueError(f"series: the model registry {why}") from error
    except connection.errors() as error:
        told = databases.shown(databases.line(error))
        where = databases.shown(connection.uri(str(folder)))
        raise ValueError(f"series: the model registry {where} cannot be used ({told})") from error


def version(folder: Path, series: str, alias: str) -> Version | None:
    """The version with this alias, or None. folder: the series', whose database it is without a server.

    Raises ValueError where the registry cannot be used.
    """
    with _reached(folder) as client:
        found = [v for v in _all(client, series) if alias in v.aliases]
    return _version(found[0]) if found else None


def _all(client: Any, series: str) -> list[Any]:
    """Every version of a series with its aliases."""
    listed = client.search_model_versions(f"name = '{series}'")
    return [client.get_model_version(series, v.version) for v in listed]


def _version(found: Any) -> Version:
    return Version(str(found.version), found.run_id, found.tags.get(BEFORE, ""))


def register(
    folder: Path, series: str, release: Path, request: str, model: str, config: dict[str, Any]
) -> str:
    """Make a release the candidate; returns its version's number. The same release is registered once.

    request, model: digests of the request and of the model's files. config: how pictures are drawn.
    Raises ValueError where the registry cannot be used.
    """
    with _reached(folder) as client:
        tags = {REQUEST: request, MODEL: model}
        known = [v for v in _all(client, series) if tags.items() <= v.tags.items()]
        number = known[0].version if known else _made(client, folder, series, release, tags, config)
        client.set_registered_model_alias(series, CANDIDATE, number)
    return str(number)


def _made(
    client: Any, folder: Path, series: str, release: Path, tags: dict[str, str], config: dict[str, Any]
) -> Any:
    """A new version: a run of the series' experiment whose artifact is the model as MLflow loads it."""
    home = runs.experiment(client, str(folder), f"series-{series}")
    run = client.create_run(home, run_name=series, tags=tags)
    scratch = folder / f".{run.info.run_id}"
    try:
        _saved(scratch, release, config)
        with connection.patient():
            client.log_artifacts(run.info.run_id, str(scratch), PLACE)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    client.set_terminated(run.info.run_id)
    if not client.search_registered_models(f"name = '{series}'"):
        client.create_registered_model(series, description="Releases of one model, a version per request.")
    source = f"{run.info.artifact_uri}/{PLACE}"
    return client.create_model_version(series, source, run.info.run_id, tags=tags).version


def _saved(to: Path, release: Path, config: dict[str, Any]) -> None:
    """The release as MLflow's pyfunc models lie; paths of this machine are taken out of what it notes."""
    import mlflow

    from . import loaded

    mlflow.pyfunc.save_model(
        path=str(to),
        python_model=loaded.__file__,
        artifacts={loaded.RELEASE: str(release)},
        model_config=config,
        pip_requirements=[f"unpromptable=={installed('unpromptable')}"],
    )
    note = to / "MLmodel"
    text = note.read_text().replace(str(release), loaded.RELEASE)
    note.write_text(text.replace(str(loaded.__file__), Path(loaded.__file__).name))


def fetched(folder: Path, series: str, found: Version) -> Path:
    """The release of a version as a folder here: the registry's own where it is local, else a copy.

    Raises ValueError where the registry cannot be used.
    """
    kept = folder / "versions" / found.number
    with _reached(folder) as client:
        address = urlsplit(client.get_run(found.run).info.artifact_uri)
        own = Path(url2pathname(address.path)) / RELEASE
        if address.scheme in ("", "file") and own.is_dir():
            return own
        if not kept.is_dir():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as fresh, connection.patient():
                Path(client.download_artifacts(found.run, RELEASE, fresh)).rename(kept)
    return kept


def promote(folder: Path, series: str, found: Version) -> None:
    """Make the candidate the champion; which one was before is noted first."""
    was = version(folder, series, CHAMPION)
    with _reached(folder) as client:
        client.set_model_version_tag(series, found.number, BEFORE, was.number if was else "")
        client.set_registered_model_alias(series, CHAMPION, found.number)
        client.delete_registered_model_alias(series, CANDIDATE)


def back(folder: Path, series: str, champion: Version) -> None:
    """Make the version before the champion the champion again."""
    with _reached(folder) as client:
        client.set_registered_model_alias(series, CHAMPION, champion.before)


def numbered(folder: Path, series: str, number: str) -> Version:
    """The version of this number. Raises ValueError where the registry has none, or cannot be used."""
    with _reached(folder) as client:
        return _version(client.get_model_version(series, number))
