"""Finished means: there, of these inputs, and holding what it held. What was damaged since is made again."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from unpromptable.storage import attempts, files, fingerprints, names, once
from unpromptable.storage.place import Output, Place


@pytest.fixture(params=["file", "folder"])
def output(request, tmp_path):
    """An output that was made, and how often it is made."""
    output, made = Output(Place(str(tmp_path), "cells/a-1", "A"), "step", "out", "k1"), []

    def build(path, bar):
        made.append(path)
        if request.param == "folder":
            (path / "unet").mkdir(parents=True)
            (path / "unet" / "w.bin").write_bytes(bytes(range(256)) * 40)
            (path / "w.json").write_text("{}")
        else:
            path.write_bytes(bytes(range(256)) * 40)

    once.make(output, build)
    held = output.path / "unet" / "w.bin" if request.param == "folder" else output.path
    return output, held, lambda: (once.make(output, build), len(made))[1]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit": flip,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "emptied": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_is_said_and_made_again(output, damage, caplog):
    made, held, again = output
    whole = held.read_bytes()
    assert again() == 1, "nothing is made twice"
    DAMAGES[damage](held)
    assert again() == 2 and held.read_bytes() == whole and made.finished()
    assert (made.path.is_file() and damage == "gone") or "made again" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", '{"key": 5}'])
def test_a_mark_that_cannot_be_read_marks_nothing(output, text):
    made, _, again = output
    made.path.with_name(f".{made.name}.done").write_text(text)
    assert not made.finished() and again() == 2 and made.finished()


def test_a_mark_without_content_is_one_of_an_earlier_version_and_holds(output):
    made, _, again = output
    made.path.with_name(f".{made.name}.done").write_text(json.dumps({"key": "k1"}))
    assert made.finished() and again() == 1


def test_a_folder_emptied_or_added_to_is_another(output, tmp_path):
    made, _, again = output
    if made.path.is_dir():
        shutil.rmtree(made.path / "unet")
        assert not made.finished()
        again()
        (made.path / "more.txt").write_text("x")
        assert not made.finished()


def test_a_copy_of_a_run_is_as_finished_as_the_run(output, tmp_path):
    made, _, _ = output
    shutil.copytree(tmp_path / "cells", tmp_path / "copy" / "cells")
    assert Output(Place(str(tmp_path / "copy"), "cells/a-1", "A"), "step", "out", "k1").finished()


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path):
    path = tmp_path / "row.json"
    files.write_text(path, "old")
    with pytest.raises(OSError, match="full"), names.replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("full")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["row.json"]


def test_what_a_file_holds_does_not_depend_on_when_it_was_written(tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(fingerprints, "WHOLE", 64)
    (tmp_path / "a").write_bytes(bytes(200_000))
    before = fingerprints.content(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert fingerprints.content(tmp_path / "a") == before


def full(spare):
    """A disk without room until the spare file is gone."""
    from contextlib import contextmanager

    usual = names.replacing

    @contextmanager
    def replacing(path):
        if spare.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        with usual(path) as temporary:
            yield temporary

    return replacing


def test_that_the_disk_is_full_is_written_into_room_that_was_kept_for_it(tmp_path, monkeypatch):
    files.keep_spare(str(tmp_path))
    spare = tmp_path / files.SPARE
    assert spare.stat().st_size == files.KEPT
    monkeypatch.setattr(files, "replacing", full(spare))
    output = Output(Place(str(tmp_path), "cells/a-1", "A"), "sample 0", "out", "k1")

    def fills(path, bar):
        raise OSError(errno.ENOSPC, "No space left on device")

    once.guarded(output, fills)
    assert "the disk is full" in once.noted(output.place)["error"] and not spare.exists()
    failed = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert failed[-1]["kind"] == "failed" and "free some space" in failed[-1]["text"]


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EROFS, errno.ENOSPC])
def test_a_fault_of_the_place_is_not_tried_again(tmp_path, monkeypatch, number):
    monkeypatch.setattr(attempts, "now", attempts.Attempt(left=2))
    output, tried = Output(Place(str(tmp_path), "cells/a-1", "A"), "step", "out", "k1"), []

    def fails(path, bar):
        tried.append(1)
        raise OSError(number, "x")

    once.guarded(output, fails)
    assert len(tried) == 1 and not once.noted(output.place)["again"]


def test_a_mirror_is_its_owners_alone_and_one_that_is_not_is_refused(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mirror = Path(files.mirror(f"file://{tmp_path}/remote"))
    mine = mirror.parent
    assert [p.stat().st_mode & 0o777 for p in (mirror, mine)] == [0o700, 0o700]
    mine.chmod(0o755)
    with pytest.raises(PermissionError, match="others can read it"):
        files.mirror(f"file://{tmp_path}/remote")
    mine.rename(tmp_path / "elsewhere")
    mine.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="not yours"):
        files.mirror(f"file://{tmp_path}/remote")


def test_what_a_step_writes_is_its_owners_alone(tmp_path):
    import os

    from unpromptable.execution.opened import opened

    before = os.umask(0o022)
    try:

        @opened
        def step(cell, store):
            files.write_text(Path(store) / "cells" / "a" / "x.json", "{}")

        step("demo/a", str(tmp_path))
    finally:
        os.umask(before)
    made = [tmp_path / "cells", tmp_path / "cells" / "a" / "x.json"]
    assert [p.stat().st_mode & 0o777 for p in made] == [0o700, 0o600]


def test_a_mark_holds_what_lies_beside_its_file_and_one_that_is_spoilt_holds_nothing(tmp_path):
    page, plot = tmp_path / "page.html", tmp_path / "figures" / "a.png"
    plot.parent.mkdir()
    page.write_text("p"), plot.write_text("a")
    files.finish(page, "k", [plot])
    mark = tmp_path / ".page.html.done"
    told = json.loads(mark.read_text())
    assert files.finished(page, "k") and list(told["beside"]) == ["figures/a.png"]
    for spoilt in (
        None,
        [],
        "figures/a.png",
        {"figures/a.png": None},
        {"\x00": "a"},
        {"..": "a"},
        {"b": "a"},
    ):
        mark.write_text(json.dumps({**told, "beside": spoilt}))
        assert not files.finished(page, "k"), spoilt
    files.finish(page, "k", [plot])
    plot.unlink()
    assert not files.finished(page, "k")
