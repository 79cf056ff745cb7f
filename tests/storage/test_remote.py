"""A store whose network fails, or whose bucket is missing: an OSError of one line, and work that goes on when
it is back.
"""

import socket
import tempfile
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from test_lease import until

from pipelines.__main__ import main
from unpromptable.execution import probe
from unpromptable.storage import attempts, direct, files, inventory, lease, once
from unpromptable.storage.place import Output, Place


@pytest.fixture
def server(s3, monkeypatch, tmp_path):
    """A server that a test stops and starts again, with what it held."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def output(server):
    return Output(
        Place(files.mirror("s3://bucket/demo"), "cells/ours-1234", "Ours"), "unlearn", "unlearned", "k"
    )


@pytest.mark.parametrize(
    "ask",
    [
        files.fetch,
        files.remove,
        lambda path: files.write_text(path, "x"),
        lambda path: direct.create(path, "x"),
        lambda path: direct.read(path),
        lambda path: direct.names(path.parent),
        lambda path: inventory.held(path.parents[1], "cells/x"),
    ],
)
def test_a_store_that_is_away_is_a_lost_connection_in_one_line_with_its_address(server, ask):
    path = Path(files.mirror("s3://bucket/demo")) / "cells" / "x"
    server.stop()
    with pytest.raises(ConnectionError, match=r"^s3://bucket/demo: .* \(\w+: .*; check the address") as told:
        ask(path)
    server.start()
    assert "\n" not in str(told.value) and attempts.passing(told.value) and not once.lasting(told.value)


def test_a_step_whose_store_goes_away_is_tried_again_in_its_pod_and_ends_when_it_is_back(
    server, output, monkeypatch
):
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    tried = []

    def build(path, bar):
        tried.append(attempts.now.tried)
        path.write_text("w")
        if len(tried) == 1:
            server.stop()

    def attempt(now):
        if now.tried == 1:
            monkeypatch.setattr(lease, "DEAD", 0.2)  # the first one's lease is this process's
            server.start()
        attempts.within(once.guarded, (output, build), now)

    attempts.persist("unlearn", output.place.path(), attempt, attempt)
    assert tried == [0, 1] and output.finished() and once.noted(output.place) is None


def test_a_lease_beats_on_when_its_store_is_back(server, output, monkeypatch, caplog):
    monkeypatch.setattr(lease, "EVERY", 0.1)
    with lease.Lease(output.path) as held:
        until(lambda: held.beats > 0)
        server.stop()
        until(lambda: "no heartbeat this time (ConnectionError" in caplog.text)
        server.start()
        before = held.beats
        until(lambda: held.beats > before + 1)
        held.check()


def test_a_lease_beats_on_whatever_one_beat_meets(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lease, "EVERY", 0.02)
    put, faults = direct.put, [RuntimeError("Session is closed"), KeyError("Contents")]

    def fails(path, text):
        if faults:
            raise faults.pop()
        put(path, text)

    with lease.Lease(tmp_path / "x") as held:
        monkeypatch.setattr(direct, "put", fails)
        until(lambda: held.beats > 4)
    assert "(RuntimeError: Session is closed)" in caplog.text and "(KeyError: 'Contents')" in caplog.text


def test_an_attempt_that_cannot_be_noted_is_followed_by_another(server, output, monkeypatch, caplog):
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    server.stop()

    def start(now):
        if now.tried == 0:
            raise attempts.Fault("the store is away")
        server.start()
        return now.tried

    assert attempts.persist("unlearn", output.place.path(), start, start) == 1
    assert "again.json: not written (s3://bucket/demo: " in caplog.text


@pytest.mark.parametrize("write", [lambda p: files.write_text(p, "x"), lambda p: direct.create(p, "x")])
def test_a_bucket_that_is_missing_is_named_and_not_made(s3, monkeypatch, tmp_path, write):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = Path(files.mirror("s3://typo-bukcet/demo")) / "cells" / "x"
    with pytest.raises(FileNotFoundError, match="there is no bucket typo-bukcet; make it first, or correct"):
        write(path)
    assert [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]] == ["bucket"]


def test_the_probe_and_a_purge_say_that_a_bucket_is_missing(s3, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    finding = probe._store("s3://typo-bukcet/{name}")
    assert not finding.ok and "no bucket typo-bukcet" in finding.text and "bucket is there" in finding.remedy
    assert main(["purge", "s3://typo-bukcet/demo", "--yes"]) == 2
    assert "error: there is no bucket typo-bukcet; make it first" in capsys.readouterr().err
    assert [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]] == ["bucket"]
