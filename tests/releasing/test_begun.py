"""A request's folder is that request's alone."""

import dataclasses
import json

import pytest

from unpromptable.releasing import begun, request


@pytest.fixture
def asked(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text(name)
    told = {
        "name": "ticket-1",
        "model": "google/x",
        "keep": str(tmp_path),
        "forget": (str(tmp_path / "a.png"),),
    }
    return request.Request(**told)


@pytest.mark.parametrize(
    "change", [{"attempts": 2}, {"due": "2026-12-24"}, {"gates": {"lpips": 0.3}}, {"settings": {"seed": 1}}]
)
def test_a_request_goes_on_in_its_folder_where_what_it_forgets_stays(asked, tmp_path, change):
    begun.pin(tmp_path, asked, "", "")
    begun.pin(tmp_path, dataclasses.replace(asked, **change), "", "")


@pytest.mark.parametrize("change", [{"name": "ticket-2"}, {"model": "google/y"}, {"series": "faces"}])
def test_another_request_is_refused_and_told_what_differs(asked, tmp_path, change):
    begun.pin(tmp_path, asked, "", "")
    (what,) = change
    words = rf"another request began here \({what} differ\).*another --out"
    with pytest.raises(ValueError, match=words):
        begun.pin(tmp_path, dataclasses.replace(asked, **change), "", "")


def test_a_picture_is_known_by_what_it_shows_and_no_name_of_one_is_kept(asked, tmp_path):
    begun.pin(tmp_path, asked, "", "")
    assert "a.png" not in (tmp_path / begun.FILE).read_text()
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    begun.pin(tmp_path, dataclasses.replace(asked, forget=(str(tmp_path / "c.png"),)), "", "")
    (tmp_path / "c.png").write_text("another")
    with pytest.raises(ValueError, match=r"\(forget differ\)"):
        begun.pin(tmp_path, dataclasses.replace(asked, forget=(str(tmp_path / "c.png"),)), "", "")


def test_a_folder_that_an_earlier_version_noted_is_gone_on_in(asked, tmp_path):
    (tmp_path / begun.FILE).write_text(json.dumps({"series": "", "version": "", "model": ""}))
    begun.pin(tmp_path, asked, "", "")
