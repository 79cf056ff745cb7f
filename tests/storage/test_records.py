"""What a run left for the next, spoilt: said in one line, and the run goes on or is told what to do."""

import json

import pytest

from unpromptable.storage import (
    attempts,
    direct,
    files,
    fingerprints,
    inventory,
    lease,
    once,
    progress,
    records,
)
from unpromptable.storage.place import Place

SPOILT = [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a": 1}', b"[1, null]"]


@pytest.mark.parametrize("content", SPOILT)
def test_a_record_of_another_kind_is_refused_in_one_line_that_names_it(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.json: damaged") as caught:
        records.read(path, dict, name=str)
    assert type(caught.value) is ValueError and "\n" not in str(caught.value)
    assert records.kept(path, dict, name=str) == {} and records.kept(tmp_path / "none", list) == []


@pytest.mark.parametrize("content", SPOILT)
def test_spoilt_notes_marks_and_fingerprints_are_said_and_none(tmp_path, content, caplog):
    at = Place(str(tmp_path), "cells/a-1", "A")
    names = {
        "note": once.NOTE,
        "again": attempts.NOTE,
        "mark": ".row.json.done",
        "known": "fingerprints.json",
    }
    at.path().mkdir(parents=True)
    for name in names.values():
        at.path(name).write_bytes(content)
    at.path("row.json").write_text("{}")
    assert once.noted(at) is None
    assert all(isinstance(told, str) for told in attempts.notes(at.path()))
    assert not files.finished(at.path("row.json"), "k") and inventory.key(at.path("row.json")) == ""
    with fingerprints.kept(at.path("fingerprints.json")):
        assert fingerprints.of(at.path("row.json")) == fingerprints.of(at.path("row.json"))


@pytest.mark.parametrize(
    "made", [5, [], ["a"], ["a", 5], {"a": "b"}, ["a", "b", "c"]], ids=lambda value: json.dumps(value)
)
def test_a_failure_of_nothing_that_was_made_is_none(tmp_path, made):
    at = Place(str(tmp_path), "cells/a-1", "A")
    files.write_text(at.path(once.NOTE), json.dumps({"step": "s", "error": "e", "made": made}))
    assert once.noted(at) is None


@pytest.mark.parametrize(
    "content",
    [
        *SPOILT,
        *(b'{"host": "h", "machine": "m", "state": "held", "pid": %s}' % p for p in (b"0", b"-1", b"1" * 30)),
    ],
)
def test_a_spoilt_lease_is_nobodys_and_taken_over(tmp_path, monkeypatch, content):
    monkeypatch.setattr(lease, "DEAD", 0.1), monkeypatch.setattr(lease, "LOOK", 0.02)
    spoilt = tmp_path / ".row.json.lease-3"
    spoilt.write_bytes(content)
    (tmp_path / ".row.json.lease-²").write_text("{}")
    (tmp_path / f".row.json.lease-{9**99}").write_text("{}")
    assert lease.left(tmp_path) == {} and lease.alive(spoilt, 0) == ""
    with lease.Lease(tmp_path / "row.json") as mine:
        assert mine.number == 4 and direct.read(spoilt) is None


def test_lines_that_are_no_events_are_said_and_left_out(tmp_path, caplog):
    reader = progress._Reader(tmp_path / "progress.jsonl")
    progress.event(str(tmp_path), "A", "score", "start")
    with (tmp_path / "progress.jsonl").open("ab") as file:
        file.write(
            b"\n".join([*SPOILT, b'{"time": 1.0, "cell": "A", "step": "s", "kind": "x", "text": ""}', b""])
        )
    progress.event(str(tmp_path), "A", "score", "progress", "half", done=0, total=2)
    progress.event(str(tmp_path), "A", "score", "progress", "half", done=1, total=2)
    assert [(one["kind"], one.get("done")) for one in reader.fresh()] == [("start", None), ("progress", 1)]
    assert "lines are left out" in caplog.text
