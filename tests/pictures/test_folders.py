"""What a folder holds, and what of it is followed."""

import os

import numpy as np
import pytest
from picture_files import ALPHA, RGB, write
from PIL import Image

from unpromptable import pictures


def test_what_a_folder_holds_is_said(tmp_path, caplog):
    for name in ("b.png", "a.JPG", "deep/er/c.gif", "d.avif", "e.jfif", "f.tga", "g.jp2"):
        write(tmp_path / name)
    for name in ("h.heic", "notes.txt", "README"):
        (tmp_path / name).write_text("no picture")
    for name in ("._b.png", ".ipynb_checkpoints/b-checkpoint.png", "__MACOSX/b.png", ".git/x.png"):
        write(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "clear.png")
    caplog.set_level("INFO")
    found = pictures.find(tmp_path)
    assert found.names == [
        "a.JPG",
        "b.png",
        "clear.png",
        "d.avif",
        "deep/er/c.gif",
        "e.jfif",
        "f.tga",
        "g.jp2",
    ]
    assert found.said() == {
        "hidden, or a system's own": "4: ._b.png, .git, .ipynb_checkpoints and 1 more",
        "no kind of picture that is read (.heic)": "1: h.heic",
        "no kind of picture that is read (.txt)": "1: notes.txt",
        "no kind of picture that is read (no suffix)": "1: README",
    }
    images, said = pictures.read_all(found, 4)
    assert images.shape == (8, 4, 4, 3) and said == {
        "transparent parts are laid on white (pictures.background)": "1: clear.png"
    }
    assert (
        f"pictures read from {tmp_path}: 8" in caplog.text
        and "(.heic): 1: h.heic" in caplog.text
        and "laid on white (pictures.background): 1: clear.png" in caplog.text
    )


def test_links_out_of_a_folder_are_followed_only_when_asked(tmp_path):
    root = tmp_path / "real"
    for path in (root / "a.png", root / "more" / "b.png", tmp_path / "else" / "c.png", tmp_path / "d.png"):
        write(path)
    (root / "out").symlink_to(tmp_path / "else")
    (root / "d.png").symlink_to(tmp_path / "d.png")
    (root / "in.png").symlink_to("a.png")
    (root / "again").symlink_to("more")
    (root / "gone.png").symlink_to("nowhere.png")
    (root / "round").symlink_to(tmp_path)
    found = pictures.find(root)
    assert found.names == ["a.png", "in.png", "more/b.png"]
    assert found.skipped["links out of the folder (pictures.links: true follows them)"] == [
        "d.png",
        "out",
        "round",
    ]
    assert found.skipped["links to nothing"] == ["gone.png"] and found.skipped[
        "links to folders that are read anyway"
    ] == ["again"]
    asked = pictures.find(root, links=True).names
    assert {"a.png", "d.png", "out/c.png"} <= set(asked) and len(asked) < 12  # round and round ends
    os.symlink(root, tmp_path / "real2")
    assert pictures.find(tmp_path / "real2").names == found.names


def test_a_folder_without_pictures_says_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match="real: .* holds no image .it is empty."):
        pictures.find(tmp_path)
    (tmp_path / "x.heic").write_text("x")
    (tmp_path / "y.png").symlink_to(__file__)
    with pytest.raises(
        ValueError,
        match=(
            r"relearn.folder: .* holds no image .links out of the folder .*: 1: y.png; no kind of picture"
            r" that is read .\.heic.: 1: x.heic.; the kinds read are .png"
        ),
    ):
        pictures.find(tmp_path, what="relearn.folder")


@pytest.mark.parametrize(
    "target, name, group",
    [
        ("s1/1.png", "s1/1.png", "s1"),  # as the folder's own pictures are named
        ("/faces/s1/2.png", "s1/2.png", "s1"),
        ("/faces/alice-1.png", "alice-1.png", "alice"),
        ("/home/case-7/alice-9.png", "alice-9.png", "alice"),
        ("/home/case-7/me.png", "me.png", "me.png"),
        ("0104-3", "0104-3", "0104"),
    ],
)
def test_a_target_that_is_given_by_its_path_has_the_name_and_group_of_pictures_beside_it(target, name, group):
    assert pictures.named(target, "/faces", ["s1/1.png"]) == name and pictures.group(name) == group


@pytest.mark.parametrize(
    "name, wanted", [("0004-3", "0004"), ("s1/2.png", "s1"), ("a-b-c", "a-b"), ("me", "me")]
)
def test_a_names_group_is_what_stands_before_its_last_dash_or_slash(name, wanted):
    assert pictures.group(name) == wanted
