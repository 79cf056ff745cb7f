"""A checkpoint is whole on the server, however often its upload broke off and however slow the server is."""

import json
import os
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from mlflow.exceptions import MlflowException
from tracked_run import SWEEP, rows

from unpromptable import tracking
from unpromptable.tracking import connection, uploads


def diffusers(folder):
    """Files as a model of diffusers has them, one of them empty."""
    for name, text in (("model_index.json", "{}"), ("unet/weights", "w" * 64), ("unet/empty", "")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_what_was_sent_in_part_is_completed_before_it_is_registered(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found, histories = rows(tmp_path)
    run = tracking.open_runs(str(tmp_path), SWEEP)["ours"]
    client, here = tracking.client(str(tmp_path)), diffusers(tmp_path / found[0].folder / "unlearned")
    (tmp_path / "weights").write_text("w" * 10)
    client.log_artifact(run, str(here / "model_index.json"), "unlearned")
    client.log_artifact(run, str(tmp_path / "weights"), "unlearned/unet")
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED")
    (there,) = (tmp_path / "mlartifacts").glob(f"{run}/artifacts/unlearned")
    held = lambda folder: {
        str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()
    }
    assert held(there) == held(here) and len(held(there)) == 4, "with the file of every run here"
    assert client.get_model_version_by_alias("unpromptable-demo", "ours").run_id == run


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """The client, a run, a checkpoint here, and where its files lie once sent."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = tracking.open_runs(str(tmp_path), SWEEP)["ours"]
    client, here = tracking.client(str(tmp_path)), diffusers(tmp_path / "unlearned")
    uploads.send(client, run, here)
    (there,) = (tmp_path / "mlartifacts").glob(f"{run}/artifacts/unlearned")
    return client, run, here, there


def test_what_is_there_is_sent_no_second_time(sent):
    client, run, here, there = sent
    changed = lambda: {p: p.stat().st_ctime_ns for p in there.rglob("*") if p.is_file()}
    before = changed()
    uploads.send(client, run, here)
    assert changed() == before and len(before) == 3


def test_weights_of_another_training_replace_those_of_the_same_size(sent, monkeypatch):
    client, run, here, there = sent
    for name in ("other", "weights"):
        (here / "unet" / name).write_text("v" * 64)

    with monkeypatch.context() as broken, pytest.raises(OSError, match="the line is cut"):
        log = client.log_artifact
        broken.setattr(client, "log_artifact", lambda *to: log(*to) if "weights" not in to[1] else cut())
        uploads.send(client, run, here)
    assert (there / "unet" / "weights").read_text() == "w" * 64
    uploads.send(client, run, here)
    assert (there / "unet" / "weights").read_text() == "v" * 64, "the sizes alone would have let it stay"


def cut():
    raise OSError("the line is cut")


class Slow(BaseHTTPRequestHandler):
    """A tracking server of one run that takes its time."""

    def log_message(self, *words):
        pass

    def answer(self, told):
        raw = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self):
        if "mlflow-artifacts" in self.path:
            return self.answer({"files": []})
        info = {"run_id": "r", "experiment_id": "1", "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}
        self.answer({"run": {"info": info, "data": {}}})

    def do_POST(self):
        self.answer({})  # no models of the run

    def do_PUT(self):
        self.server.got[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.seconds)
        with suppress(BrokenPipeError):  # of a client that waits no longer
            self.answer({})


@pytest.fixture
def slow(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.got, server.seconds = {}, 2.5
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(connection.TIMEOUT, "1")
    yield server
    server.shutdown()


def test_a_server_may_take_longer_to_put_a_file_away_than_to_answer(tmp_path, slow):
    client = tracking.client(str(tmp_path))
    (tmp_path / "unlearned").mkdir()
    (tmp_path / "unlearned" / "weights").write_text("w")
    uploads.send(client, "r", tmp_path / "unlearned")
    assert list(slow.got.values()) == [b"w"]
    with pytest.raises((MlflowException, requests.RequestException), match="timed out|timeout"):
        client.log_artifact("r", str(tmp_path / "unlearned" / "weights"))


@pytest.mark.parametrize("given, while_files_go", [("20", "600"), ("900", "900")])
def test_a_longer_wait_of_ones_own_holds_for_files_too(monkeypatch, given, while_files_go):
    monkeypatch.setenv(connection.TIMEOUT, given)
    with connection.patient():
        assert os.environ[connection.TIMEOUT] == while_files_go
    assert os.environ[connection.TIMEOUT] == given
