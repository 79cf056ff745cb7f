"""Which of several makes a file of an object store: it is told by what the store answers, whatever its
dialect.
"""

import tempfile
from pathlib import Path

import fsspec
import pytest
from moto.s3 import exceptions

from unpromptable.execution import probe
from unpromptable.storage import direct, files, once
from unpromptable.storage.place import Output, Place


@pytest.fixture(params=["AWS", "MinIO"])
def store(request, s3, monkeypatch, tmp_path):
    """A store in a bucket, whose answer names the condition that failed, or does not, as that of MinIO."""
    if request.param == "MinIO":
        plain = lambda self, failed: exceptions.S3ClientError.__init__(self, "a precondition did not hold")
        monkeypatch.setattr(exceptions.PreconditionFailed, "__init__", plain)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return files.mirror("s3://bucket/demo")


def test_who_finds_a_file_there_is_not_the_first(store):
    path = Path(store) / "x"
    assert direct.create(path, "mine") and not direct.create(path, "yours") and direct.read(path) == "mine"


def test_a_step_gets_its_lease_and_works_once(store):
    output, calls = Output(Place(store, "cells/ours-1234", "Ours"), "unlearn", "unlearned", "k1"), []
    for _ in range(2):
        once.make(output, lambda path, bar: calls.append(path.write_text("w")))
    assert len(calls) == 1 and output.finished()


def test_who_is_told_of_its_own_file_since_an_answer_was_lost_is_the_first(store, monkeypatch):
    system = type(fsspec.filesystem("s3"))
    call = system._call_s3

    async def sent_again(self, method, *given, **more):
        if method == "put_object":
            monkeypatch.setattr(system, "_call_s3", call)
            await call(self, method, *given, **more)
        return await call(self, method, *given, **more)

    monkeypatch.setattr(system, "_call_s3", sent_again)
    assert direct.create(Path(store) / "x", "mine") and not direct.create(Path(store) / "x", "yours")


def test_any_other_refusal_is_raised(store, monkeypatch):
    def refuses(self, failed):
        exceptions.S3ClientError.__init__(self, "not yours")
        self.code, self.error_type = 403, "AccessDenied"

    assert direct.create(Path(store) / "x", "mine")
    monkeypatch.setattr(exceptions.PreconditionFailed, "__init__", refuses)
    with pytest.raises(OSError):
        direct.create(Path(store) / "x", "yours")


def test_the_probe_makes_a_file_as_leases_are_made(store, monkeypatch):
    where = "s3://bucket/{name}"
    assert probe._store(where).ok and fsspec.filesystem("s3").find("bucket") == []

    def knows_none(path, text):
        raise OSError(38, "If-None-Match is not implemented")

    monkeypatch.setattr(direct, "create", knows_none)
    finding = probe._store(where)
    assert not finding.ok and "If-None-Match is not implemented" in finding.text
