"""The command `review`: what it refuses before any page is there."""

import fcntl
import sys

import pytest
from contracts import small
from PIL import Image

from pipelines import __main__ as command_line
from pipelines.cli import review


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.delenv(review.TOKEN, raising=False)
    (tmp_path / "keep").mkdir()
    return ["review", "--model", "group/m", "--keep", str(tmp_path / "keep"), "--out", str(tmp_path / "out")]


@pytest.mark.parametrize(
    "more, said",
    [
        (["--host", "0.0.0.0"], f"can be reached from other machines: set {review.TOKEN}"),
        (["--host", "192.168.1.7"], "can be reached from other machines"),
        (["--host", "example.org", "--token", "x" * 16], "give an IPv4 address"),
        (["--host", "0.0.0.0", "--token", "short"], "the token has 5 characters; give at least 16"),
        (
            ["--public", "https://example.org"],
            f"--public https://example.org can be reached from other machines: "
            f"set {review.TOKEN} to at least 16 characters, or leave --public out",
        ),
        (
            ["--public", "example.org/x", "--token", "x" * 16],
            "--public example.org/x: give an address without",
        ),
        (["--gate", "lpips=soft"], "--gate lpips=soft: give a number"),
        (["--gate", "beauty=1"], "no gate on 'beauty'"),
        (["--set", "training.steps"], "expected key=value"),
        (["--keep", "/nowhere"], "--keep /nowhere: no folder"),
        (["--key", "/nowhere.key"], "no such key"),
        (["--model", ""], "--model is empty"),
        (["--model", "nope"], "--model: nope is no folder here, and no name on the hub, such as google/"),
        (["--gate", "lpips"], "--gate lpips: expected metric=bound"),
    ],
)
def test_a_page_that_cannot_be_served_is_refused_in_one_line(asked, capsys, more, said):
    assert command_line.main([*asked, *more]) == 2
    assert said in (told := capsys.readouterr().err) and told.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost"])
def test_this_machine_alone_needs_no_token(host):
    assert review._token(host, "") == ""


@pytest.mark.parametrize(
    "given, own",
    [
        ("https://Review.example.org/", "https://review.example.org"),
        ("https://review.example.org:443", "https://review.example.org"),
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
    ],
)
def test_the_address_that_people_open_is_kept_as_their_browsers_say_it(given, own):
    assert review._public(given) == own


def test_without_gradio_one_line_says_how_to_get_it(asked, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert command_line.main(asked) == 2
    assert "pip install '.[review]' in the clone" in capsys.readouterr().err


def test_two_pages_on_one_folder_refuse(asked, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(review.running, "PATIENCE", 0.2)
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert command_line.main(asked) == 2
    assert "another run is at work there" in capsys.readouterr().err


def test_what_no_request_could_be_planned_with_is_told_to_the_operator(asked, capsys, tmp_path):
    """The person at the page could not mend it."""
    assert command_line.main(asked) == 2 and "keep" in capsys.readouterr().err  # an empty folder
    for number, picture in enumerate(small.people(104, 204)):
        Image.fromarray(picture).save(tmp_path / f"keep/{number}.png")
    assert command_line.main(asked) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: networks.sscd_sha256 is not given") and told.count("\n") == 1
