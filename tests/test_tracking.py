"""MLflow: one sweep run, one child per cell, nothing twice, nothing lost while the server is away."""

import json
import os
import socket
import sys
import time

import pytest
from mlflow_server import start

from unpromptable import tracking

CELLS = [
    {"slug": "ours", "name": "Ours", "key": "k1", "method": "surrogate", "method.beta": 5e-5},
    {"slug": "neggrad", "name": "NegGrad", "key": "k2", "method": "neggrad"},
]
EXPERIMENT = {"name": "demo"}


def rows(store):
    made = []
    for cell, status in (("ours", "done"), ("neggrad", "failed")):
        folder = store / "cells" / cell
        (folder / "unlearned").mkdir(parents=True, exist_ok=True)
        (folder / "unlearned" / "w.txt").write_text("weights")
        (folder / "history.jsonl").write_text(
            "".join(
                json.dumps({"step": i + 1, "target": "a", "remember": 1 / (i + 1)}) + "\n" for i in range(20)
            )
        )
        value = {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 8} if status == "done" else None
        made.append(
            {
                "name": cell,
                "cell": cell,
                "folder": f"cells/{cell}",
                "status": status,
                "error": None if status == "done" else "unlearn: nan",
                "sscd": value,
                "fid_pre": value,
            }
        )
    (store / "rows.json").write_text("[]")
    return made, {r["cell"]: store / r["folder"] / "history.jsonl" for r in made}


def all_runs(store):
    client = tracking._client(str(store))
    return client, client.search_runs([e.experiment_id for e in client.search_experiments()])


def test_planning_and_closing_twice_makes_one_sweep_two_cells_and_no_point_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found, histories = rows(tmp_path)
    for _ in range(2):
        ids = tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS)
        assert tracking.close(str(tmp_path), EXPERIMENT, found, histories, [], "FAILED")
    client, runs = all_runs(tmp_path)
    assert len(runs) == 3
    cells = [r for r in runs if tracking.PARENT in r.data.tags]
    sweep = next(r for r in runs if tracking.PARENT not in r.data.tags)
    assert {r.data.tags[tracking.PARENT] for r in cells} == {sweep.info.run_id} and {
        r.info.run_id for r in cells
    } == set(ids.values())
    assert len(client.get_metric_history(ids["ours"], "train/remember")) == 20
    assert client.get_run(ids["ours"]).data.metrics["sscd"] == pytest.approx(0.2)
    assert (
        cells[0].data.metrics.keys() == cells[1].data.metrics.keys() >= {"sscd", "sscd.low", "train/remember"}
    )
    assert (
        cells[0].data.params.keys() == cells[1].data.params.keys()
        and client.get_run(ids["neggrad"]).data.params["method.beta"] == "n/a"
    )
    assert {client.get_run(i).info.status for i in ids.values()} == {"FINISHED", "FAILED"}
    version = client.get_model_version_by_alias("unpromptable-demo", "best")
    assert (
        version.run_id == ids["ours"]
        and version.source.endswith("unlearned")
        and client.get_model_version_by_alias("unpromptable-demo", "ours").version == version.version
    )
    assert len(client.search_model_versions("name = 'unpromptable-demo'")) == 1


def test_a_repeated_run_is_the_same_sweep_and_does_not_stay_open(tmp_path, monkeypatch):
    from unpromptable.execution import work

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    text = (
        "name: t\nforget: ['0012-3']\ncells:\n- {name: Ours, editor: flip}\n- {name: Other, method: naive}\n"
    )
    first, again = (work.plan(text, "", "{}", str(tmp_path)) for _ in range(2))
    assert first == again
    assert tracking.settle(str(tmp_path), "SUCCEEDED")
    _, runs = all_runs(tmp_path)
    assert len(runs) == 3 and [r.info.status for r in runs if tracking.PARENT not in r.data.tags] == [
        "FINISHED"
    ]


def test_the_sweep_hangs_under_the_platforms_own_run_where_there_is_one_on_this_server(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = tracking._client(str(tmp_path))
    home = client.create_experiment("platform")
    root = client.create_run(home, run_name="kfp run").info.run_id
    task = client.create_run(home, run_name="plan", tags={tracking.PARENT: root}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", task), monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", home)
    ids = tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS)
    sweep = client.get_run(ids["ours"]).data.tags[tracking.PARENT]
    assert (
        client.get_run(sweep).data.tags[tracking.PARENT] == root
        and client.get_run(sweep).info.experiment_id == home
    )
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert tracking._outermost(client) is None


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


def test_runs_that_the_plan_could_not_make_are_made_by_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert set(tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS).values()) == {None}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), EXPERIMENT, found, histories, [], "SUCCEEDED")
    client, runs = all_runs(tmp_path)
    assert (
        len(runs) == 3
        and max(len(client.get_metric_history(r.info.run_id, "train/remember")) for r in runs) == 20
    )


def test_a_server_that_is_away_loses_nothing_and_stalls_nothing(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    assert tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS) == {"ours": None, "neggrad": None}
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), EXPERIMENT, found, histories, [], "SUCCEEDED") is False
    assert time.monotonic() - began < 30


def test_an_address_that_mlflow_cannot_use_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    assert tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS) == {"ours": None, "neggrad": None}
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), EXPERIMENT, found, histories, [], "SUCCEEDED") is False
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
        assert tracking.open_runs(str(out), "demo", "sweep", CELLS)["ours"]
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
    assert tracking.open_runs(str(out), "demo", "sweep", CELLS) == {"ours": None, "neggrad": None}
    found, histories = rows(out)
    assert tracking.close(str(out), EXPERIMENT, found, histories, [], "SUCCEEDED") is False
    assert tracking.settle(str(out), "SUCCEEDED") is False
    with tracking.live("run", histories["ours"]):
        pass
    assert (
        message.partition(":")[2] in caplog.text
        and "secret" not in caplog.text
        and time.monotonic() - began < 15
    )


def test_a_folder_of_an_odd_name_holds_its_database_and_what_is_logged(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = tmp_path / """it's "a" [x] ä:é & b=c;d $"""
    out.mkdir()
    tracking.check(str(out))
    ids = tracking.open_runs(str(out), "demo", f"{out}/experiment.json:k", CELLS)
    assert tracking.open_runs(str(out), "demo", f"{out}/experiment.json:k", CELLS) == ids and all(
        ids.values()
    )
    (out / "report.md").write_text("r")
    found, histories = rows(out)
    assert tracking.close(str(out), EXPERIMENT, found, histories, [out / "report.md"], "FAILED")
    client = tracking._client(str(out))
    assert (
        "unlearned" in {a.path for a in client.list_artifacts(ids["ours"])} and (out / "mlflow.db").is_file()
    )
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    "slug, alias",
    [("latest", "cell-latest"), ("v1", "cell-v1"), ("best", "cell-best"), ("v1-2", "v1-2"), ("ours", "ours")],
)
def test_a_cell_whose_name_mlflow_keeps_for_itself_has_another_alias(slug, alias):
    from mlflow.utils.validation import _validate_model_alias_name, _validate_model_alias_name_reserved

    assert tracking._alias(slug) == alias
    _validate_model_alias_name(alias), _validate_model_alias_name_reserved(alias)


def test_a_database_server_that_is_away_is_a_warning_within_seconds(tmp_path, monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/mlflow")
    began = time.monotonic()
    tracking.check(str(tmp_path))
    assert tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS) == {"ours": None, "neggrad": None}
    assert (
        "Connection refused" in caplog.text and "secret" not in caplog.text and time.monotonic() - began < 15
    )


def test_an_install_without_mlflow_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in [n for n in sys.modules if n == "mlflow" or n.startswith("mlflow.")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("mlflow", "mlflow.tracking", "mlflow.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    assert tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS) == {"ours": None, "neggrad": None}
    assert "cannot be used (" in caplog.text and "mlflow" in caplog.text


@pytest.mark.slow
def test_a_server_killed_in_the_middle_and_started_again_has_every_point(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    server = start(tmp_path, port)
    ids = tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS)
    server.terminate(), server.wait()
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), EXPERIMENT, found, histories, [], "SUCCEEDED") is False
    server = start(tmp_path, port)
    try:
        assert tracking.open_runs(str(tmp_path), "demo", "sweep", CELLS) == ids
        assert tracking.close(str(tmp_path), EXPERIMENT, found, histories, [], "SUCCEEDED")
        client, runs = all_runs(tmp_path)
        assert len(runs) == 3 and len(client.get_metric_history(ids["ours"], "train/remember")) == 20
    finally:
        server.terminate(), server.wait()
