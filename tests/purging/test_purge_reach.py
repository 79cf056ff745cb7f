"""What a purge reaches outside the folder of a run, and what it tells that it does not."""

import json
import shutil
import socket
import tempfile
from pathlib import Path

import boto3
import fsspec
import mlflow_server
import pytest
from secret_pictures import ALICE, BOB, fill, leaks, names_left, plan_run, purge

from unpromptable import tracking
from unpromptable.execution.purging import found
from unpromptable.storage import files


def test_a_store_at_an_address_its_mirror_and_its_bucket_hold_nothing_afterwards(
    s3, secrets, monkeypatch, tmp_path, capsys
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    where = Path(files.mirror("s3://bucket/run"))
    plan_run(where)
    fill(where, secrets)
    for one in [f for f in where.rglob("*") if f.is_file() and f.name not in (files.REMOTE, "mlflow.db")]:
        files.publish(one)
    (where / "rows.json").unlink()  # this machine has not fetched it
    system = fsspec.filesystem("s3")
    system.rm("bucket/run/log.txt")
    (where / "log.txt").unlink()
    assert purge("s3://bucket/run", "--names") == 1
    assert "not reached: pages of a run on a cluster: Kubeflow keeps" in capsys.readouterr().out
    system.invalidate_cache()
    system.get("bucket/run", str(tmp_path / "bucket"), recursive=True)
    assert (tmp_path / "bucket" / "rows.json").is_file() and (tmp_path / "bucket" / "purged.json").is_file()
    for folder in (where, tmp_path / "bucket"):
        assert not leaks(folder, [*secrets.of(ALICE), *secrets.of(BOB)])
        assert not names_left(folder, [ALICE, BOB])


def test_a_bucket_that_keeps_versions_is_told(s3, secrets, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    where = Path(files.mirror("s3://bucket/run"))
    plan_run(where)
    given = {"Bucket": "bucket", "VersioningConfiguration": {"Status": "Enabled"}}
    boto3.client("s3").put_bucket_versioning(**given)
    assert purge("s3://bucket/run") == 1
    assert "not reached: earlier versions in s3://bucket/run" in capsys.readouterr().out


def test_artifacts_on_a_server_that_is_away_are_told(run, monkeypatch, capsys, secrets):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert purge(run) == 1
    assert "not reached: artifacts on http://127.0.0.1:9" in capsys.readouterr().out
    missed = json.loads((run / "purged.json").read_text())[0]["not_reached"]
    assert [m["what"] for m in missed] == ["artifacts on http://127.0.0.1:9"]
    assert not leaks(run, [*secrets.of(ALICE), *secrets.of(BOB)])


def test_a_run_tracked_on_a_server_that_is_not_named_is_told(run, capsys):
    (run / "mlflow.db").unlink()
    assert purge(run) == 1
    assert "not reached: artifacts on a tracking server: no server is named" in capsys.readouterr().out


@pytest.mark.slow
def test_a_server_keeps_neither_pictures_nor_names_but_in_parameters_which_are_told(
    tmp_path, monkeypatch, secrets, capsys
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    server = mlflow_server.start(tmp_path, port)
    try:
        where = tmp_path / "run"
        where.mkdir()
        plan_run(where)
        fill(where, secrets)
        shown = [*secrets.of(ALICE), *secrets.of(BOB)]
        assert leaks(tmp_path / "files", shown) and names_left(tmp_path / "files", [ALICE])
        assert purge(where, "--names") == 1
        assert not leaks(tmp_path / "files", shown) and not names_left(tmp_path / "files", [ALICE, BOB])
        missed = json.loads((where / "purged.json").read_text())[0]["not_reached"]
        assert missed and all("parameter forget" in m["what"] or "source of" in m["what"] for m in missed)
        gone = [h["name"] for h in json.loads((where / "purged.json").read_text())[0]["removed"]]
        assert gone.count("report.html") == 2  # in the folder, and on the server
        client = tracking.client(str(where))
        found_runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        tags = [v for r in found_runs for v in r.data.tags.values()]
        assert found_runs and not any("alice" in v for v in tags)
    finally:
        server.terminate(), server.wait()


def test_a_run_beside_it_of_the_same_target_is_told(run, capsys):
    shutil.copytree(run, run.parent / "other")
    assert purge(run) == 1
    assert f"not reached: {run.parent / 'other'}: another run of the same targets" in capsys.readouterr().out


def test_a_run_beside_it_whose_plan_is_damaged_is_told_too(tmp_path, caplog):
    for name in ("mine", "other"):
        (tmp_path / name / "shared").mkdir(parents=True)
        (tmp_path / name / "shared" / "data.safetensors").write_bytes(b"")
        (tmp_path / name / "experiment.json").write_text("{")
    asked = found.Found(tmp_path / "mine", None, ("a",), True, ())
    assert found.neighbours(asked) == [str(tmp_path / "other")] and "may be a run of the same" in caplog.text
