"""Files of arrays: byte for byte those of safetensors, read on demand, and written piece by piece."""

import hashlib
import json

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from unpromptable import data
from unpromptable.storage import arrays


@pytest.fixture
def many():
    """Arrays of several sizes, one of them empty, uint8."""
    numbers = np.random.default_rng(0)
    shapes = {"samples": (40, 5, 7, 3), 'injected/é "x"': (3, 5, 7, 3), "a": (0, 5, 7, 3), "b": (11,)}
    return {name: numbers.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}


def test_a_file_is_byte_for_byte_that_of_safetensors(tmp_path, many, monkeypatch):
    monkeypatch.setattr(arrays, "PIECE", 300)
    manifest = {"names": ['é\n\t\x7f"\\', "日本"], "seconds": 1.5, "removed": []}
    data.save(tmp_path / "ours", many, manifest)
    told = {
        "shapes": {k: list(v.shape) for k, v in many.items()},
        "sha256": {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in many.items()},
    }
    save_file(many, tmp_path / "theirs", {"manifest": json.dumps({**manifest, **told})})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_parts_are_one_array(tmp_path, many):
    whole = many["samples"]
    parts = [whole[:7], data.Rows(whole, np.arange(40) // 20 == 0), whole[20:]]
    data.save(tmp_path / "parts", {"samples": parts}, {})
    found, manifest = data.load(tmp_path / "parts")
    wanted = np.concatenate([whole[:7], whole[:20], whole[20:]])
    np.testing.assert_array_equal(found["samples"], wanted)
    assert manifest["sha256"]["samples"] == data.sha256(wanted) and manifest["shapes"]["samples"][0] == 47


@pytest.mark.parametrize("part", [np.zeros((2, 5, 6, 3), np.uint8), np.zeros((2, 5, 7, 3), np.float32)])
def test_a_part_of_another_kind_or_shape_is_refused_and_leaves_no_file(tmp_path, many, part):
    with pytest.raises(ValueError, match="samples: a part is"):
        data.save(tmp_path / "x", {"samples": [many["samples"], part]}, {})
    assert not list(tmp_path.iterdir())


def test_an_array_is_read_only_when_it_is_asked_for_and_stays_when_its_file_is_replaced(tmp_path, many):
    data.save(tmp_path / "x", many, {})
    found, _ = data.load(tmp_path / "x", "samples", "a")
    assert set(found) == {"samples", "a"} and found["a"].shape == (0, 5, 7, 3)
    data.save(tmp_path / "x", {"samples": many["samples"] ^ 1}, {})
    np.testing.assert_array_equal(found["samples"][[3, 1]], many["samples"][[3, 1]])
    (tmp_path / "x").unlink()
    np.testing.assert_array_equal(found["samples"], many["samples"])
    with pytest.raises(ValueError, match="read-only"):
        found["samples"][0] = 0


def test_only_what_is_asked_for_is_checked(tmp_path, many):
    data.save(tmp_path / "x", many, {})
    content = bytearray((tmp_path / "x").read_bytes())
    content[-1] ^= 1  # of the array that is last by its name
    (tmp_path / "x").write_bytes(content)
    assert data.load(tmp_path / "x", "b")[0]["b"].tolist() == many["b"].tolist()
    with pytest.raises(ValueError, match="samples does not match its SHA-256"):
        data.load(tmp_path / "x", "samples")
    assert data.first(tmp_path / "x", "samples", 7).shape == (7, 5, 7, 3)


def test_files_that_are_cut_or_of_other_numbers_are_refused(tmp_path, many):
    save_file({"x": np.zeros(4, np.float32)}, tmp_path / "floats")
    with pytest.raises(ValueError, match="holds F32; pictures are of U8"):
        arrays.layout(tmp_path / "floats")
    (tmp_path / "floats").write_bytes((tmp_path / "floats").read_bytes()[:-1])
    with pytest.raises(SafetensorError):
        arrays.layout(tmp_path / "floats")


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(2, 9, 3),
        [4, 0],
        np.array([True, False] * 10),
        (3, slice(None), 2),
        (slice(4), 1),
        ...,
        None,
    ],
    ids=str,
)
def test_rows_of_an_array_are_indexed_as_an_array_of_them(many, index):
    mask = np.arange(40) % 2 == 1
    rows, wanted = data.Rows(many["samples"], mask), many["samples"][mask]
    np.testing.assert_array_equal(rows[index], wanted[index])
    assert len(rows) == 20 and rows.shape == wanted.shape and rows.dtype == np.uint8
    assert rows.nbytes == wanted.nbytes
    assert data.sha256(rows) == data.sha256(wanted)
    np.testing.assert_array_equal(np.asarray(rows), wanted)


def test_a_scratch_file_is_what_was_added(tmp_path, many):
    with arrays.Scratch(tmp_path / "x", (5, 7, 3)) as scratch:
        assert scratch.rows().shape == (0, 5, 7, 3)
        for row in many["samples"]:
            scratch.add(row[None])
        with pytest.raises(ValueError, match="x: a part is"):
            scratch.add(many["samples"][:, :4])
        found = scratch.rows()
    (tmp_path / "x").unlink()
    np.testing.assert_array_equal(found, many["samples"])
