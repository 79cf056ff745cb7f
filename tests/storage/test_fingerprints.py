"""A file's identity is what it holds: rewritten in place it is another, copied or touched it is the same, and
it is read once.
"""

import json
import os
import subprocess
import sys
from datetime import date
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unpromptable.storage import fingerprints


@pytest.fixture
def small(monkeypatch):
    """Files above 64 bytes count as large, with 4 blocks of 8 bytes; every file is settled."""
    monkeypatch.setattr(fingerprints, "WHOLE", 64)
    monkeypatch.setattr(fingerprints, "BLOCKS", 4)
    monkeypatch.setattr(fingerprints, "BLOCK", 8)
    monkeypatch.setattr(fingerprints, "SETTLED", -1.0)


def test_a_file_painted_over_in_place_with_its_size_and_time_kept_is_another(tmp_path, small):
    path = tmp_path / "a.png"
    path.write_bytes(b"a" * 50)
    stat = path.stat()
    with fingerprints.kept(tmp_path / "known.json"):
        first = fingerprints.of(path)
        path.write_bytes(b"b" * 50)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert fingerprints.of(path) != first
        path.write_bytes(b"a" * 50)
        assert fingerprints.of(path) == first


def test_a_file_is_read_once_until_it_changes_and_also_by_the_next_process(tmp_path, small, monkeypatch):
    path, reads, whole = tmp_path / "a.png", [], fingerprints.sha256
    path.write_bytes(b"a")
    monkeypatch.setattr(fingerprints, "sha256", lambda p: reads.append(p) or whole(p))
    for _ in range(3):
        with fingerprints.kept(tmp_path / "known.json"):
            fingerprints.of(path), fingerprints.of(path)
    assert len(reads) == 1
    path.write_bytes(b"b")
    with fingerprints.kept(tmp_path / "known.json"):
        fingerprints.of(path)
    assert len(reads) == 2


def test_a_file_that_changed_a_moment_ago_is_not_remembered(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    with fingerprints.kept(tmp_path / "known.json"):
        fingerprints.of(tmp_path / "a.png")
    assert not (tmp_path / "known.json").exists()


def test_of_a_large_file_size_time_and_blocks_from_the_first_byte_to_the_last_count(tmp_path, small):
    path = tmp_path / "weights.safetensors"

    def identity(content, time=7):
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        return fingerprints.of(path), fingerprints.of(path, time=False)

    plain = identity(bytes(200))
    assert identity(bytes(200)) == plain
    assert identity(bytes(200), 8)[0] != plain[0] and identity(bytes(200), 8)[1] == plain[1]
    for changed in (bytes(201), b"x" + bytes(199), bytes(199) + b"x", bytes(65) + b"x" + bytes(134)):
        assert identity(changed)[1] != plain[1]


def test_bad_input_leaves_no_folder_behind_and_a_broken_note_is_read_anew(tmp_path, small):
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileNotFoundError), fingerprints.kept(tmp_path / "run" / "known.json"):
        fingerprints.of(tmp_path / "a"), fingerprints.of(tmp_path / "nowhere")
    assert not (tmp_path / "run").exists()
    (tmp_path / "known.json").write_text("{")
    with fingerprints.kept(tmp_path / "known.json"):
        assert fingerprints.of(tmp_path / "a")


def test_a_folder_is_its_names_and_what_they_hold(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "a").write_text("1")
    first = fingerprints.tree(tmp_path / "x")
    (tmp_path / "x" / "y" / "a").rename(tmp_path / "x" / "y" / "b")
    assert [f.split(":")[0] for f in (*first, *fingerprints.tree(tmp_path / "x"))] == ["y/a", "y/b"]
    assert fingerprints.tree(tmp_path / "nowhere") == []


def test_a_set_has_one_digest_in_every_process():
    words = "from unpromptable.storage.fingerprints import digest; print(digest({'names': set('abcdefgh')}))"
    python = [sys.executable, "-c", words]
    told = [subprocess.check_output(python, env={**os.environ, "PYTHONHASHSEED": s}) for s in "12"]
    assert told[0] == told[1]
    digest = fingerprints.digest
    assert digest({1, "a", (2,)}) == digest(frozenset({(2,), "a", 1})) != digest({1, "a"})


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize("value", [Path("a/b"), Colour.RED, date(2026, 1, 2)])
def test_what_its_text_tells_apart_is_known_by_its_text(value):
    assert fingerprints.digest([value]) == fingerprints.digest([str(value)])


def test_a_value_whose_text_says_where_it_lies_is_refused():
    with pytest.raises(ValueError, match="identity: object <object object .* cannot be told from others"):
        fingerprints.digest({"settings": object()})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_a_digest_does_not_depend_on_the_order_of_keys_and_survives_text(value):
    turned = lambda v: dict(reversed([(k, turned(x)) for k, x in v.items()])) if isinstance(v, dict) else v
    assert fingerprints.digest(value) == fingerprints.digest(turned(value))
    assert fingerprints.digest(value) == fingerprints.digest(json.loads(json.dumps(value)))


@given(values, values)
def test_two_values_share_a_digest_only_where_they_are_the_same_text(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (fingerprints.digest(a) == fingerprints.digest(b)) == same
