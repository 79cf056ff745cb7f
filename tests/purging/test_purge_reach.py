"""What a purge reaches outside the folder of a run, and what it tells that it does not."""

import json
import socket
import tempfile
from pathlib import Path

import boto3
import fsspec
import mlflow_server
import pytest
from secret_pictures import ALICE, BOB, TEXT, fill, keep, leaks, names_left, plan_run, purge

from pipelines.__main__ import main
from unpromptable import tracking
from unpromptable.planning import plan
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


def published(secrets, disk):
    """A run in a bucket, made on another disk: its plan, and pictures of two targets."""
    with pytest.MonkeyPatch.context() as patch:
        disk.mkdir()
        patch.setattr(tempfile, "tempdir", str(disk))
        root = Path(files.mirror("s3://bucket/run"))
        files.write_text(root / "experiment.json", plan.resolve(TEXT, inputs=False).run().to_text())
        drawn = {f"injected/{t}": secrets.draws[t][0] for t in (ALICE, BOB)}
        keep(root / "shared" / "before.safetensors", {"samples": secrets.seeds, **drawn}, {"seeds": [0]})


def in_bucket(to):
    fsspec.filesystem("s3").invalidate_cache()
    fsspec.filesystem("s3").get("bucket/run", str(to), recursive=True)
    return to


def test_a_target_goes_from_a_run_made_anew_since_an_earlier_purge_here_and_none_of_it_stays_here(
    s3, secrets, monkeypatch, tmp_path, capsys
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    for time in ("first", "second"):
        published(secrets, tmp_path / time)
        assert purge("s3://bucket/run", "--target", ALICE) == 1
        said = capsys.readouterr().out
        assert f"removed  shared/before.safetensors:injected/{ALICE}  " in said
        assert "  in s3://bucket/run\n" in said and str(tmp_path) not in said
        there = in_bucket(tmp_path / f"{time} bucket")
        assert not leaks(there, secrets.draws[ALICE][0]) and leaks(there, secrets.draws[BOB][0])
        left = [f.name for f in (tmp_path / "here").rglob("*") if f.is_file()]
        assert sorted(left) == [".lock", files.REMOTE]


def test_a_purge_that_is_not_agreed_to_leaves_the_bucket_as_it_is_and_nothing_here(
    s3, secrets, monkeypatch, tmp_path, capsys
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    published(secrets, tmp_path / "disk")
    assert main(["purge", "s3://bucket/run"]) == 2  # nobody can be asked
    assert "say --yes" in capsys.readouterr().err
    assert leaks(in_bucket(tmp_path / "bucket"), secrets.draws[ALICE][0])
    assert not [f for f in Path(files.mirror("s3://bucket/run")).iterdir() if f.name[0] != "."]


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
