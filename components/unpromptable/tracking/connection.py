"""Where runs are tracked: the server's address, whether it can be used, and what is said where it cannot."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpromptable.storage import databases, files
from unpromptable.storage.names import replacing

log = logging.getLogger(__name__)
DATABASE = "mlflow.db"  # in the store, where no server is named
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
SECONDS = 20  # that a server may take to answer
FILE_SECONDS = (
    600  # the same of a file: it answers once it has put a model's away, in an object store for one
)
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
    _trust()
    return os.environ.get("MLFLOW_TRACKING_URI", "")


def _trust() -> None:
    """Check the pod's own server by UNPROMPTABLE_TRACKING_CA (PEM), which MLflow reads from a file."""
    signer, own = (os.environ.get(f"UNPROMPTABLE_TRACKING_{name}") for name in ("CA", "URI"))
    kept = "MLFLOW_TRACKING_SERVER_CERT_PATH"
    if signer and os.environ.get("MLFLOW_TRACKING_URI") == own and not os.environ.get(kept):
        path = Path(tempfile.mkdtemp(prefix="unpromptable-")) / "tracking-ca.crt"
        path.write_text(signer)
        os.environ[kept] = str(path)


def uri(store: str) -> str:
    """The tracking address: the server's, or a database in the run's folder."""
    return server() or f"sqlite:///{Path(store).resolve() / DATABASE}"


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


def client(store: str) -> Any:
    """MLflow's client of the server, or of the database in the run's folder. Raises one of `errors` where it
    cannot be used.
    """
    # the default waits 246 s per call for a server that is away
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault(TIMEOUT, str(SECONDS))
    check(store)
    databases.reach(uri(store))
    from mlflow.tracking import MlflowClient

    if not server():
        path = Path(store).resolve() / DATABASE
        _make(path)
        databases.follow(path, artifacts(store))
    return MlflowClient(uri(store))


@contextmanager
def patient() -> Iterator[None]:
    """Wait longer for the server's answer while files are sent or fetched."""
    kept = os.environ.get(TIMEOUT, str(SECONDS))
    os.environ[TIMEOUT] = str(max(int(kept), FILE_SECONDS))
    try:
        yield
    finally:
        os.environ[TIMEOUT] = kept


def artifacts(store: str) -> str:
    """Where the files of a local run's MLflow runs lie."""
    return (Path(store).resolve() / "mlartifacts").as_uri()


def _make(path: Path) -> None:
    """Let MLflow make its tables under another name first: a stop on the way leaves no half of them."""
    with files.locked(path.with_name(f".{path.name}.lock")):
        if path.is_file() and path.stat().st_size:
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        with replacing(path) as temporary:
            made = SqlAlchemyStore(f"sqlite:///{temporary}", artifacts(str(path.parent)))
            made.engine.dispose()


def errors() -> tuple[type[BaseException], ...]:
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


def warn(store: str, error: BaseException, then: str) -> None:
    """Say in the log that the server cannot be used, and what becomes of the results."""
    told = databases.shown(databases.line(error))
    log.warning("tracking: %s cannot be used (%s); %s", databases.shown(uri(store)), told, then)
