"""A server that is away, or cannot be used, loses nothing and stalls nothing."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tracked_run import SWEEP, rows

from unpromptable import tracking


@pytest.mark.parametrize(
    "injected, wanted",
    [
        ({}, ("http://chart:5000", "own", "secret")),
        (
            {"MLFLOW_TRACKING_USERNAME": "launcher", "MLFLOW_TRACKING_PASSWORD": "x"},
            ("http://chart:5000", "own", "secret"),
        ),
        (
            {
                "MLFLOW_TRACKING_URI": "http://plugin:5000",
                "MLFLOW_TRACKING_USERNAME": "plugin",
                "MLFLOW_TRACKING_PASSWORD": "y",
            },
            ("http://plugin:5000", "plugin", "y"),
        ),
    ],
)
def test_the_server_of_the_platforms_plugin_goes_before_the_pods_own(monkeypatch, injected, wanted):
    for name, own in (("URI", "http://chart:5000"), ("USERNAME", "own"), ("PASSWORD", "secret")):
        monkeypatch.setenv(f"UNPROMPTABLE_TRACKING_{name}", own)
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", injected.get(f"MLFLOW_TRACKING_{name}", ""))
    assert tracking.server() == wanted[0]
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == wanted[1:]


@pytest.mark.parametrize("asked, trusted", [("https://chart:5000", True), ("https://plugin:5000", False)])
def test_the_pods_own_server_is_checked_by_the_certificates_that_came_with_it_and_no_other(
    monkeypatch, asked, trusted
):
    for name, value in (("URI", "https://chart:5000"), ("CA", "-----BEGIN CERTIFICATE-----\nx\n")):
        monkeypatch.setenv(f"UNPROMPTABLE_TRACKING_{name}", value)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", asked)
    tracking.server()
    kept = os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]
    assert (Path(kept).read_text() if kept else "") == (
        os.environ["UNPROMPTABLE_TRACKING_CA"] if trusted else ""
    )
    assert tracking.server() == asked and os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] == kept


def test_a_server_that_is_away_loses_nothing_and_stalls_nothing(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    assert tracking.open_runs(str(tmp_path), SWEEP) == {"ours": None, "neggrad": None}
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED") is False
    assert time.monotonic() - began < 30


def test_an_address_that_mlflow_cannot_use_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    assert tracking.open_runs(str(tmp_path), SWEEP) == {"ours": None, "neggrad": None}
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED") is False
    assert "nowhere://x cannot be used" in caplog.text


def unusable(tmp_path, monkeypatch, what):
    """An address or a folder's state in which nothing can be tracked; the run's folder."""
    out = tmp_path / "run"
    out.mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if what == "driver":
        monkeypatch.setitem(sys.modules, "psycopg2", None)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg2://me:secret@nowhere/mlflow")
    elif what == "address":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+none://nowhere/x")
    elif what == "unwritable":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    elif what == "folder":
        (out / "mlflow.db").mkdir()
    elif what == "no database":
        (out / "mlflow.db").write_text("no database at all, " * 200)
    elif what == "damaged":
        assert tracking.open_runs(str(out), SWEEP)["ours"]
        whole = (out / "mlflow.db").read_bytes()
        (out / "mlflow.db").write_bytes(whole[: len(whole) // 2])
    else:
        out = tmp_path / what
        out.mkdir()
    return out


UNUSABLE = [
    (
        "driver",
        (
            "MLFLOW_TRACKING_URI: postgresql+psycopg2://***@nowhere/mlflow needs the driver psycopg2, which"
            " is not installed; pip install psycopg2-binary"
        ),
    ),
    ("address", "mysql+none://nowhere/x is no database's address"),
    ("unwritable", "cannot be written"),
    (
        "folder",
        (
            "mlflow.db cannot be written (unable to open database file); make it writable, or choose another"
            " place"
        ),
    ),
    ("no database", "mlflow.db is no whole SQLite database (file is not a database); move it away"),
    ("damaged", "mlflow.db is no whole SQLite database"),
    ("a?b", "MLflow takes no database below a name with ?; choose another folder"),
    ("a#b", "MLflow takes no database below a name with #; choose another folder"),
    ("a%20b", "MLflow takes no database below a name with %; choose another folder"),
]


@pytest.mark.parametrize("what, message", UNUSABLE)
def test_what_cannot_be_tracked_is_told_before_a_run_and_stops_no_step(
    tmp_path, monkeypatch, caplog, capsys, what, message
):
    from pipelines.__main__ import main

    out = unusable(tmp_path, monkeypatch, what)
    capsys.readouterr()
    before, began = sorted(tmp_path.rglob("*")), time.monotonic()
    assert main(["local", "demo", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and sorted(tmp_path.rglob("*")) == before
    assert tracking.open_runs(str(out), SWEEP) == {"ours": None, "neggrad": None}
    found, histories = rows(out)
    assert tracking.close(str(out), "demo", found, histories, [], "SUCCEEDED") is False
    assert tracking.settle(str(out), "SUCCEEDED") is False
    with tracking.live("run", histories["ours"]):
        pass
    assert (
        message.partition(":")[2] in caplog.text
        and "secret" not in caplog.text
        and time.monotonic() - began < 15
    )


def test_a_database_server_that_is_away_is_a_warning_within_seconds(tmp_path, monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/mlflow")
    began = time.monotonic()
    tracking.check(str(tmp_path))
    assert tracking.open_runs(str(tmp_path), SWEEP) == {"ours": None, "neggrad": None}
    assert (
        "Connection refused" in caplog.text and "secret" not in caplog.text and time.monotonic() - began < 15
    )


def test_an_install_without_mlflow_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in [n for n in sys.modules if n == "mlflow" or n.startswith("mlflow.")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("mlflow", "mlflow.tracking", "mlflow.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    assert tracking.open_runs(str(tmp_path), SWEEP) == {"ours": None, "neggrad": None}
    assert "cannot be used (" in caplog.text and "mlflow" in caplog.text


def test_a_stop_while_the_tables_are_made_leaves_no_half_of_a_database(tmp_path, monkeypatch):
    from mlflow.store.tracking import sqlalchemy_store

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def stopped(address, root):
        import sqlite3

        with sqlite3.connect(address.removeprefix("sqlite:///")) as file:
            file.execute("CREATE TABLE registered_models (name TEXT)")
        raise KeyboardInterrupt

    with monkeypatch.context() as half:
        half.setattr(tracking.connection, "_make", tracking.connection._make.__wrapped__)
        half.setattr(sqlalchemy_store, "SqlAlchemyStore", stopped)
        with pytest.raises(KeyboardInterrupt):
            tracking.open_runs(str(tmp_path), SWEEP)
    assert None not in tracking.open_runs(str(tmp_path), SWEEP).values()
    assert not list(tmp_path.glob("*.tmp-*"))


CLOSING = """
import sys
from pathlib import Path

from tracked_run import rows
from unpromptable import tracking

there = Path(sys.argv[1])
found, histories = rows(there)
assert tracking.close(str(there), "demo", found, histories, [there / "report.md"], "SUCCEEDED")
"""  # in another process, as MLflow remembers in one where a run's files lie


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_a_run_in_another_folder_writes_its_files_there(tmp_path, monkeypatch, how):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here, there = tmp_path / "here", tmp_path / "here and there"
    here.mkdir()
    found, histories = rows(here)
    tracking.open_runs(str(here), SWEEP)
    assert tracking.close(str(here), "demo", found, histories, [], "SUCCEEDED")
    shutil.copytree(here, there)
    before = sorted(p.name for p in (here / "mlartifacts").rglob("*"))
    if how == "moved":
        shutil.rmtree(here)
    (there / "report.md").write_text("new")
    subprocess.run([sys.executable, "-c", CLOSING, str(there)], check=True, cwd=Path(__file__).parents[1])
    client = tracking.client(str(there))
    locations = [e.artifact_location for e in client.search_experiments() if e.name != "Default"]
    assert locations == [(there / "mlartifacts").as_uri()] and list(
        there.glob("mlartifacts/*/artifacts/report.md")
    )
    version = client.get_model_version_by_alias("unpromptable-demo", "best")
    assert version.source.startswith((there / "mlartifacts").as_uri())
    if how == "copied":
        assert sorted(p.name for p in (here / "mlartifacts").rglob("*")) == before


@pytest.mark.parametrize("address", ["http://me:secret@127.0.0.1:9", "https://secret@127.0.0.1:9"])
def test_a_password_in_the_servers_address_reaches_no_log(tmp_path, monkeypatch, caplog, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    found, histories = rows(tmp_path)
    tracking.open_runs(str(tmp_path), SWEEP)
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED") is False
    assert "cannot be used" in caplog.text and "secret" not in caplog.text
    assert all(b"secret" not in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
